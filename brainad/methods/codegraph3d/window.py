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
    if queries is references:
        window = _Window(queries, queries, radius)
        # A shift also serves its opposite, so that half of the shifts are enough.
        window.compare(len(window.neighbours) // 2 + 1, window.nearest)
    else:
        window = _Window(queries, references, radius)
        window.compare(len(window.neighbours))
    return _of_tokens(window.nearest, window.cells, queries)


@torch.inference_mode()
def mutual_window_distances(
    first: CohortTokens, second: CohortTokens, radius: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure the distances between two different groups of volumes, both ways at once.

    Args:
        first: A volumes with M tokens.
        second: B other volumes with N tokens, on the same grid.
        radius: cells, at least 0.

    Returns:
        (M, B) from the tokens of the first group and (N, A) from those of the second, float32;
        inf where the volume has no token in the window.

    Raises:
        ValueError: the grids differ.
    """
    window = _Window(first, second, radius)
    back = window.nearest.new_full((len(window.other), second.volumes, first.volumes), torch.inf)
    window.compare(len(window.neighbours), back)
    return (
        _of_tokens(window.nearest, window.cells, first),
        _of_tokens(back, window.targets, second),
    )


class _Window:
    """Two groups of volumes laid out cell by cell, for one batched product per shift and tile.

    Args:
        queries: volumes whose tokens are compared.
        references: volumes that they are compared with; may be the same object.
        radius: cells, at least 0.
    """

    def __init__(self, queries: CohortTokens, references: CohortTokens, radius: int) -> None:
        if queries.grid != references.grid:
            raise ValueError(f"grids differ: {queries.grid} and {references.grid}")
        centre = queries.tokens.mean(0)
        self.cells = np.unique(queries.cell_index)
        self.targets = np.unique(references.cell_index)
        self.own, self.own_square = _lay_out(queries, self.cells, centre)
        self.other, self.other_square = (
            (self.own, self.own_square)
            if queries is references
            else _lay_out(references, self.targets, centre)
        )
        self.neighbours = _neighbours(self.cells, self.targets, queries.grid, radius)
        self.nearest = self.own.new_full(
            (len(self.own), queries.volumes, references.volumes), torch.inf
        )

    def compare(self, shifts: int, back: Tensor | None = None) -> None:
        """Keep the smallest squared distances in ``nearest`` (cells + 1, A, B).

        Args:
            shifts: how many of the shifts to look at.
            back: (targets + 1, B, A), receives the same distances seen from the other side.
        """
        volumes = max(self.nearest.shape[1:])
        step = max(1, VALUES_PER_TILE // (self.own.shape[2] * volumes))
        for start in range(0, len(self.cells), step):
            tile = slice(start, min(start + step, len(self.cells)))
            for shifted in self.neighbours[:shifts, tile]:
                norms = self.own_square[tile, :, None] + self.other_square[shifted, None, :]
                squared = torch.baddbmm(norms, self.own[tile], self.other[shifted].mT, alpha=-2)
                torch.minimum(self.nearest[tile], squared, out=self.nearest[tile])
                if back is not None:
                    back[shifted] = torch.minimum(back[shifted], squared.mT)


def _of_tokens(
    nearest: Tensor, cells: NDArray[np.int64], cohort: CohortTokens
) -> NDArray[np.float32]:
    """Turn squared distances (cells + 1, A, B) into a row of distances (B,) per token."""
    slot = np.searchsorted(cells, cohort.cell_index)
    of_token = nearest[torch.from_numpy(slot), torch.from_numpy(cohort.own)]
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
