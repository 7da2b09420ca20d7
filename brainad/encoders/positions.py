"""Position embeddings for other image sizes, resampled as DINOv2's authors do it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Their sampler aims at a grid this much larger than the one it fills. Features differ visibly
# without it, because the network was tuned with it.
_OFFSET = 0.1


def resample_positions(table: Tensor, rows: int, columns: int) -> Tensor:
    """Fit a table of a square grid to another grid: bicubic, pixel centres, no antialiasing.

    Args:
        table: (1, 1 + n², C), the class token's entry first.
        rows: of the wanted grid.
        columns: of the wanted grid.

    Returns:
        (1, 1 + rows · columns, C), row-major; the table itself if the grid is the same.
    """
    edge = math.isqrt(table.shape[1] - 1)
    if rows == columns == edge:
        return table
    patches = table[:, 1:].unflatten(1, (edge, edge)).permute(0, 3, 1, 2)
    scale = ((rows + _OFFSET) / edge, (columns + _OFFSET) / edge)
    fitted = F.interpolate(patches.float(), scale_factor=scale, mode="bicubic")
    flat = fitted.flatten(2).transpose(1, 2).to(table.dtype)
    return torch.cat((table[:, :1], flat), dim=1)
