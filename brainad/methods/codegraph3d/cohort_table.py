"""The distance table of a cohort in blocks: one piece of work per pair of blocks.

Every entry of the table belongs to exactly one pair of blocks, so that the pieces can be worked
on anywhere and in any order: who puts them together gets the same bytes. A worker holds the
tokens of two blocks, whatever the size of the cohort.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainad.method import Encoding, Spread
from brainad.methods.codegraph3d.cohort import Block, BlockedCohort
from brainad.methods.codegraph3d.filtering import distances_without
from brainad.methods.codegraph3d.matching import cohort_distances, pair_distances

_FORWARD, _BACK = "forward", "back"


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two blocks that are compared; ``second`` is None for a block with itself."""

    first: Block
    second: Block | None
    radius: int | None


@dataclass(frozen=True, eq=False)
class _Correction:
    """The columns of a block that lost references, for the tokens of one block.

    ``table`` (Q, B) holds the distances with all references; ``filtered`` tells which tokens of
    ``references`` are left out; ``references`` is None for a block with itself.
    """

    queries: Block
    references: Block | None
    table: NDArray[np.float32]
    filtered: NDArray[np.bool_]
    radius: int | None


def cohort_table(
    cohort: BlockedCohort, radius: int | None, spread: Spread = map
) -> NDArray[np.float32]:
    """Measure the distance of every token to every other volume.

    Args:
        cohort: B volumes with T tokens.
        radius: cells a match may be away along each axis; None for any distance.
        spread: runs the pieces.

    Returns:
        (T, B) float32; inf on the token's own volume and where there is no candidate.
    """
    table = np.full((int(cohort.offsets[-1]), cohort.volumes), np.inf, dtype=np.float32)
    numbers = list(itertools.combinations_with_replacement(range(len(cohort.blocks)), 2))
    blocks = cohort.blocks
    pieces = [_Pair(blocks[i], None if i == j else blocks[j], radius) for i, j in numbers]
    for (i, j), found in zip(numbers, spread(_measure, pieces), strict=True):
        table[cohort.rows(i), cohort.columns(j)] = found[_FORWARD]
        if i != j:
            table[cohort.rows(j), cohort.columns(i)] = found[_BACK]
    return table


def _measure(pair: _Pair) -> Encoding:
    first = pair.first.load()
    if pair.second is None:
        return {_FORWARD: cohort_distances(first, pair.radius)}
    forward, back = pair_distances(first, pair.second.load(), pair.radius)
    return {_FORWARD: forward, _BACK: back}


def table_without(
    table: NDArray[np.float32],
    cohort: BlockedCohort,
    filtered: NDArray[np.bool_],
    radius: int | None,
    spread: Spread = map,
) -> NDArray[np.float32]:
    """Correct a table for tokens that no longer serve as references (step 9).

    Args:
        table: (T, B) distances with all references.
        cohort: the tokens behind the table.
        filtered: (T,) bool.
        radius: of the matching, None for `global`.
        spread: runs the pieces.

    Returns:
        (T, B) float32.
    """
    corrected = table.copy()
    numbers = list(_touched(cohort, filtered))
    pieces = [
        _Correction(
            cohort.blocks[i],
            None if i == j else cohort.blocks[j],
            table[cohort.rows(i), cohort.columns(j)],
            filtered[cohort.rows(j)],
            radius,
        )
        for i, j in numbers
    ]
    for (i, j), found in zip(numbers, spread(_correct, pieces), strict=True):
        corrected[cohort.rows(i), cohort.columns(j)] = found[_FORWARD]
    return corrected


def _touched(cohort: BlockedCohort, filtered: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """List (block of the tokens, block of the references) where a reference was removed."""
    for j in range(len(cohort.blocks)):
        if filtered[cohort.rows(j)].any():
            yield from ((i, j) for i in range(len(cohort.blocks)))


def _correct(piece: _Correction) -> Encoding:
    queries = piece.queries.load()
    references = queries if piece.references is None else piece.references.load()
    return {
        _FORWARD: distances_without(piece.table, queries, references, piece.filtered, piece.radius)
    }
