"""Distances to tokens near the same place only (`local` matching)."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainad.methods.codegraph3d.cohort import CohortTokens
from brainad.volume import Shape

VALUES_PER_TILE = 2**18
"""Token values handled at a time, so that a tile (1 MB) stays in the cache."""


@torch.inference_mode()
def window_distances(
    queries: CohortTokens, references: CohortTokens, radius: int
) -> NDArray[np.float32]:
    """Measure token-to-volume distances over cells at most ``radius`` away along each axis.

    Tokens are laid out cell by cell; for each shift inside the window one batched product
    compares all query volumes with all reference volumes at many cells. Inside one cohort a
    shift also serves its opposite, so that only half of the shifts are needed.

    Args:
        queries: volumes with Q tokens.
        references: B volumes on the same grid; may be ``queries``, and then every volume is
            compared with itself too.
        radius: cells, at least 0.

    Returns:
        (Q, B) float32; inf where the volume has no token in the window.

    Raises:
        ValueError: the grids differ.
    """
    if queries.grid != references.grid:
        raise ValueError(f"grids differ: {queries.grid} and {references.grid}")
    within = queries is references
    centre = queries.tokens.mean(0)
    cells, slot = np.unique(queries.cell_index, return_inverse=True)
    targets = np.unique(references.cell_index)
    own, own_square = _lay_out(queries, cells, centre)
    other, other_square = (own, own_square) if within else _lay_out(references, targets, centre)
    neighbours = _neighbours(cells, targets, queries.grid, radius)
    shifts = len(neighbours) // 2 + 1 if within else len(neighbours)
    nearest = own.new_full((len(own), queries.volumes, references.volumes), torch.inf)
    step = max(1, VALUES_PER_TILE // (own.shape[2] * max(nearest.shape[1:])))
    for start in range(0, len(cells), step):
        tile = slice(start, min(start + step, len(cells)))
        for shifted in neighbours[:shifts, tile]:
            norms = own_square[tile, :, None] + other_square[shifted, None, :]
            squared = torch.baddbmm(norms, own[tile], other[shifted].mT, alpha=-2)
            torch.minimum(nearest[tile], squared, out=nearest[tile])
            if within:
                nearest[shifted] = torch.minimum(nearest[shifted], squared.mT)
    of_token = nearest[torch.from_numpy(slot), torch.from_numpy(queries.own)]
    table: NDArray[np.float32] = of_token.clamp_min_(0).sqrt_().cpu().numpy()
    return table


def _lay_out(
    cohort: CohortTokens, cells: NDArray[np.int64], centre: Tensor
) -> tuple[Tensor, Tensor]:
    """Lay out tokens as (cells + 1, B, d) with their squared lengths (cells + 1, B).

    A missing token is 0 with an infinite squared length; the last cell is missing everywhere.
    """
    slot = torch.from_numpy(np.searchsorted(cells, cohort.cell_index)), torch.from_numpy(cohort.own)
    centred = cohort.tokens - centre
    by_cell = centred.new_zeros((len(cells) + 1, cohort.volumes, centred.shape[1]))
    square = centred.new_full((len(cells) + 1, cohort.volumes), torch.inf)
    by_cell[slot] = centred
    square[slot] = centred.square().sum(1)
    return by_cell, square


def _neighbours(
    cells: NDArray[np.int64], targets: NDArray[np.int64], grid: Shape, radius: int
) -> Tensor:
    """Find each cell's neighbour for every shift in the window, opposite shifts mirrored.

    Returns:
        (shifts, cells) positions in ``targets``; past the end where there is no such cell.
    """
    position = np.full(np.prod(grid), len(targets))
    position[targets] = np.arange(len(targets))
    padded = np.pad(position.reshape(grid), radius, constant_values=len(targets))
    x, y, z = np.unravel_index(cells, grid)
    shifts = itertools.product(range(2 * radius + 1), repeat=3)
    return torch.from_numpy(np.stack([padded[x + i, y + j, z + k] for i, j, k in shifts]))
