"""From token scores on the grid of cells to a map on the grid of voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def score_grid(scores: NDArray[np.floating[Any]], cells: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Put token scores (N,) on the grid of cells (nx, ny, nz); 0 where there is no token."""
    grid = np.zeros(cells.shape, dtype=np.float32)
    grid[cells] = scores
    return grid


def upsample(
    grid: NDArray[np.floating[Any]], patch: int, aligned_corners: bool = False
) -> NDArray[np.floating[Any]]:
    """Interpolate a grid trilinearly to voxels.

    Args:
        grid: (nx, ny, nz), any values; the precision is kept.
        patch: voxels along the edge of a cell.
        aligned_corners: put the outermost voxels on the outermost cell centres, as MuSc does,
            instead of keeping every cell where it is.

    Returns:
        (nx * patch, ny * patch, nz * patch).
    """
    for axis, cells in enumerate(grid.shape):
        weights = interpolation_weights(cells, patch, aligned_corners).astype(grid.dtype)
        grid = np.moveaxis(np.tensordot(weights, grid, axes=(1, axis)), 0, axis)
    return grid


def interpolation_weights(cells: int, patch: int, aligned_corners: bool) -> NDArray[np.float64]:
    """Make the matrix (cells * patch, cells) of linear interpolation along one axis."""
    voxel = np.arange(cells * patch)
    if aligned_corners:
        source = voxel * (cells - 1) / max(len(voxel) - 1, 1)
    else:
        source = np.clip((voxel + 0.5) / patch - 0.5, 0, cells - 1)
    weights: NDArray[np.float64] = np.maximum(0, 1 - np.abs(source[:, None] - np.arange(cells)))
    return weights


def anomaly_map(
    grid: NDArray[np.float32],
    cells: NDArray[np.bool_],
    brain: NDArray[np.bool_],
    aligned_corners: bool = False,
) -> NDArray[np.float32]:
    """Interpolate scores to voxels without letting empty cells dilute the brain's edge.

    Scores and kept cells are interpolated alike and divided.

    Args:
        grid: (nx, ny, nz) scores, 0 where there is no token.
        cells: (nx, ny, nz) bool, cells with a token.
        brain: (x, y, z) bool; the cell edge follows from both shapes.
        aligned_corners: see `upsample`.

    Returns:
        (x, y, z) float32, 0 outside the brain.
    """
    patch = brain.shape[0] // cells.shape[0]
    scores = upsample(grid, patch, aligned_corners)
    weight = upsample(cells.astype(grid.dtype), patch, aligned_corners)
    inside = brain & (weight > 1e-9)
    result = np.zeros(brain.shape, dtype=np.float32)
    result[inside] = scores[inside] / weight[inside]
    return result
