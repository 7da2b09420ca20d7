"""Location-based random embeddings (LoRE): fixed, never trained (specification 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_frequencies(width: int, seed: int, *, integer: bool) -> tuple[Tensor, Tensor]:
    """Draw what the embeddings are made of.

    Args:
        width: d, of an embedding.
        seed: of the draw.
        integer: round frequencies down to integers, as released; then only a quarter of the
            embeddings are distinct, because coordinates are multiples of 2 / points.

    Returns:
        Frequencies (2, d / 2) and the offset (d,) that all points share.
    """
    generator = torch.Generator().manual_seed(seed)
    frequencies = torch.randn(2, width // 2, generator=generator) * (width / 2)
    offset = torch.randn(width, generator=generator)
    return (frequencies.floor() if integer else frequencies), offset


def location_embeddings(points: int, frequencies: Tensor, offset: Tensor) -> Tensor:
    """Return E_cpp, one embedding per candidate point.

    Args:
        points: per side; coordinates are -1 … 1 - 2 / points, rows first.
        frequencies: (2, d / 2), P.
        offset: (d,), v.

    Returns:
        (points², d) float32: sines and cosines of 2π c P, plus the offset.
    """
    steps = 2.0 * torch.arange(points, dtype=torch.float64) / points - 1.0
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=1)
    angles = 2 * torch.pi * (places @ frequencies.double())
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    return (waves + offset.double()).float()
