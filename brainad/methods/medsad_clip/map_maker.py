"""Maps from similarities alone: what the method is compared with when it has no decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from brainad.methods.medsad_clip.segmentation_decoder import upsample


def similarity_logits(
    levels: Sequence[Tensor], prototypes: Tensor, grid: tuple[int, int], temperature: Tensor | float
) -> Tensor:
    """Compare patches with the prompts at every tap and average.

    Args:
        levels: per tap (images, patches, width).
        prototypes: (2, width), normal and abnormal.
        grid: rows and columns of patches.
        temperature: factor on the cosines.

    Returns:
        (images, 2, rows, columns).
    """
    words = functional.normalize(prototypes, dim=-1)
    cosines = [functional.normalize(level, dim=-1) @ words.T for level in levels]
    mean = torch.stack(cosines).mean(0).transpose(1, 2)
    logits: Tensor = temperature * mean.unflatten(2, grid)
    return logits


def probabilities(logits: Tensor, size: tuple[int, int], aligned_corners: bool = False) -> Tensor:
    """Enlarge logits (images, 2, rows, columns), then softmax over the two classes."""
    return torch.softmax(upsample(logits, size, aligned_corners), dim=1)
