"""Candidate points on a grid, and which of them a mask activates (specification 1.6, 4.1, 4.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def point_grid(points: int, size: int) -> NDArray[np.int64]:
    """Return the (row, column) of every candidate point, row-major.

    Args:
        points: per side.
        size: edge of the frame; the spacing is ``size / points``.

    Returns:
        (points², 2); the first point lies in the corner, none on the far edges.
    """
    steps = np.arange(points) * (size // points)
    rows, columns = np.meshgrid(steps, steps, indexing="ij")
    return np.stack([rows.ravel(), columns.ravel()], axis=1)


def active_points(masks: Tensor, points: int) -> Tensor:
    """Read masks at the candidate points; nothing is pooled.

    Args:
        masks: (n, size, size), positive inside.
        points: per side.

    Returns:
        (n, points²) float, 1 where a point is active.
    """
    step = masks.shape[-1] // points
    return (masks[:, ::step, ::step] > 0).float().flatten(1)
