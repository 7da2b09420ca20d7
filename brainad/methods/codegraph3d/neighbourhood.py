"""Averaging features over neighbouring cells (the 3D analogue of MuSc's LNAMD)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def box_sum(grid: Tensor, edge: int) -> Tensor:
    """Sum over the box around every cell; outside the grid counts as 0.

    Args:
        grid: (nx, ny, nz, D).
        edge: cells along the edge of the box, odd.

    Returns:
        (nx, ny, nz, D).
    """
    padded = functional.pad(grid.movedim(-1, 0), [edge // 2] * 6)
    return functional.avg_pool3d(padded, edge, 1, divisor_override=1).movedim(0, -1)


def masked_box_mean(features: Tensor, cells: NDArray[np.bool_], edge: int) -> Tensor:
    """Replace each cell's feature by the mean over the kept cells in the box around it.

    Args:
        features: (N, D), one row per true cell in C order.
        cells: (nx, ny, nz) bool, the kept cells.
        edge: cells along the edge of the box, odd.

    Returns:
        (N, D).
    """
    kept = torch.from_numpy(cells).to(features.device)
    grid = features.new_zeros((*cells.shape, features.shape[1]))
    grid[kept] = features
    count = box_sum(kept.to(features.dtype)[..., None], edge)
    return (box_sum(grid, edge) / count)[kept]
