"""The table of distances from every token to every volume.

`global` matching (``radius=None``) is the published protocol: a token may match any token of
the other volume. `local` matching allows only cells within a Chebyshev radius, which needs
registered volumes.

Tokens are centred once, which leaves distances unchanged and rounding errors small, and
|a - c|² = |a|² + |c|² - 2 a·c is evaluated in blocks that stay in the cache, as one product of
(-2 a, |a|², 1) and (c, 1, |c|²). Roots are taken of the minima only.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainad.encoders.cpu_linear import fast_linear
from brainad.methods.codegraph3d.cohort import CohortTokens
from brainad.methods.codegraph3d.window import mutual_window_distances, window_distances

ROWS_PER_TILE = 256
"""Most rows of a block on the CPU; a block against 1,400 tokens has at most 1.4 MB."""


def cohort_distances(cohort: CohortTokens, radius: int | None = None) -> NDArray[np.float32]:
    """Measure the distance of every token to every other volume of its cohort.

    Args:
        cohort: B volumes with T tokens of length d.
        radius: cells a match may be away along each axis; None for any distance.

    Returns:
        (T, B) float32; inf on the token's own volume and where there is no candidate.
    """
    if radius is not None:
        table = window_distances(cohort, cohort, radius)
        table[np.arange(len(table)), cohort.own] = np.inf
        return table
    return _mutual_distances(cohort)


@torch.inference_mode()
def reference_distances(
    queries: CohortTokens, references: CohortTokens, radius: int | None = None
) -> NDArray[np.float32]:
    """Measure the distance of every query token to every reference volume.

    Args:
        queries: volumes with Q tokens of length d.
        references: B volumes, for instance of a bank.
        radius: cells a match may be away along each axis; None for any distance.

    Returns:
        (Q, B) float32; inf where there is no candidate.
    """
    if radius is not None:
        return window_distances(queries, references, radius)
    centre = queries.tokens.mean(0)
    rows, columns = queries.tokens - centre, _right(references.tokens - centre)
    table = rows.new_full((references.volumes, len(rows)), torch.inf)
    occupied = _occupied(references.offsets)
    for tile in _tiles(rows, slice(0, len(rows))):
        for volume, span in occupied:
            table[volume, tile.span] = tile.squared_distances(columns[span]).amin(1)
    return _finish(table)


@torch.inference_mode()
def pair_distances(
    first: CohortTokens, second: CohortTokens, radius: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure the distances between two different groups of volumes, both ways at once.

    Args:
        first: A volumes with M tokens of length d.
        second: B other volumes with N tokens.
        radius: cells a match may be away along each axis; None for any distance.

    Returns:
        (M, B) from the tokens of the first group and (N, A) from those of the second, float32;
        inf where there is no candidate.
    """
    if radius is not None:
        return mutual_window_distances(first, second, radius)
    centre = first.tokens.mean(0)
    rows, columns = first.tokens - centre, _right(second.tokens - centre)
    table = rows.new_full((second.volumes, len(rows)), torch.inf)
    back = rows.new_full((first.volumes, len(columns)), torch.inf)
    occupied = _occupied(second.offsets)
    for volume, row_span in _occupied(first.offsets):
        for tile in _tiles(rows, row_span):
            for other, span in occupied:
                squared = tile.squared_distances(columns[span])
                torch.amin(squared, 1, out=table[other, tile.span])
                torch.minimum(back[volume, span], squared.amin(0), out=back[volume, span])
    return _finish(table), _finish(back)


@torch.inference_mode()
def _mutual_distances(cohort: CohortTokens) -> NDArray[np.float32]:
    """Take each unordered pair of volumes once: its rows serve one, its columns the other."""
    centred = cohort.tokens - cohort.tokens.mean(0)
    right = _right(centred)
    table = centred.new_full((cohort.volumes, len(centred)), torch.inf)
    occupied = _occupied(cohort.offsets)
    for position, (first, rows) in enumerate(occupied):
        tiles = _tiles(centred, rows)
        for second, columns in occupied[position + 1 :]:
            nearest = table[first, columns]
            for tile in tiles:
                squared = tile.squared_distances(right[columns])
                torch.amin(squared, 1, out=table[second, tile.span])
                torch.minimum(nearest, squared.amin(0), out=nearest)
    return _finish(table)


class _Tile:
    """Rows of one block, prepared for many comparisons.

    Args:
        tokens: (rows, d) centred.
        span: where the rows are.
    """

    def __init__(self, tokens: Tensor, span: slice) -> None:
        self.span = span
        self._left = _with_two(-2 * tokens, tokens.square().sum(1), torch.ones(()))

    def squared_distances(self, columns: Tensor) -> Tensor:
        """Compare with c tokens that `_right` prepared: (rows, c), not yet clamped."""
        return fast_linear(self._left, columns)


def _right(tokens: Tensor) -> Tensor:
    """Prepare centred tokens (c, d) for comparisons with a tile: (c, d + 2)."""
    return _with_two(tokens, torch.ones(()), tokens.square().sum(1))


def _with_two(tokens: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Append two columns to tokens (n, d); single numbers are repeated."""
    longer = tokens.new_empty(len(tokens), tokens.shape[1] + 2)
    longer[:, :-2], longer[:, -2], longer[:, -1] = tokens, first, second
    return longer


def _occupied(offsets: NDArray[np.int64]) -> list[tuple[int, slice]]:
    """List the volumes that have tokens, with the span of their tokens."""
    spans = [slice(*pair) for pair in itertools.pairwise(offsets.tolist())]
    return [(volume, span) for volume, span in enumerate(spans) if span.stop > span.start]


def _tiles(tokens: Tensor, rows: slice) -> list[_Tile]:
    """Cut rows into even tiles that fit the cache; a GPU takes all rows at once."""
    on_cpu = tokens.device.type == "cpu"
    count = math.ceil((rows.stop - rows.start) / ROWS_PER_TILE) if on_cpu else 1
    edges = np.linspace(rows.start, rows.stop, count + 1).astype(int).tolist()
    spans = [slice(*pair) for pair in itertools.pairwise(edges)]
    return [_Tile(tokens[span], span) for span in spans]


def _finish(squared: Tensor) -> NDArray[np.float32]:
    """Turn squared distances (B, T) into a (T, B) table; rounding may leave tiny negatives."""
    table: NDArray[np.float32] = squared.clamp_min_(0).sqrt_().T.contiguous().cpu().numpy()
    return table
