from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.method import Encoding
from brainad.methods.codegraph3d.cohort import BlockedCohort, CohortTokens, one_block
from brainad.methods.codegraph3d.cohort_table import cohort_table, table_without
from brainad.methods.codegraph3d.matching import cohort_distances, reference_distances
from brainad.methods.codegraph3d.scoring import ScoreSettings, score_blocks

MakeCohort = Callable[[NDArray[Any], NDArray[Any]], CohortTokens]
EDGES = np.array([0, 2, 3, 5, 7])


def random_cohort(make: MakeCohort, volumes: int = 7) -> CohortTokens:
    rng = np.random.default_rng(5)
    cells = rng.random((volumes, 3, 3, 4)) < 0.6
    cells[1] = False
    return make(rng.normal(size=(volumes, 3, 3, 4, 8)), cells)


def blocked(cohort: CohortTokens, edges: NDArray[np.int64] = EDGES) -> BlockedCohort:
    """Cut a cohort into blocks of some volumes each."""
    blocks = []
    for start, stop in itertools.pairwise(edges):
        rows = slice(*cohort.offsets[[start, stop]])
        offsets = cohort.offsets[start : stop + 1] - cohort.offsets[start]
        index = cohort.cell_index[rows]
        blocks.append(CohortTokens(cohort.tokens[rows], offsets, index, cohort.grid))
    return BlockedCohort(blocks, cohort.offsets, edges)


def far_away(work: Callable[[Any], Encoding], pieces: Sequence[Any]) -> Iterable[Encoding]:
    """Run pieces in another order, some twice, on copies that travelled."""
    order = np.random.default_rng(0).permutation(len(pieces))
    results: dict[int, Encoding] = {}
    for number in [*order, *order[:2]]:
        sent = pickle.loads(pickle.dumps((work, pieces[number])))  # noqa: S301
        results[int(number)] = sent[0](sent[1])
    return (results[number] for number in range(len(pieces)))


@pytest.mark.parametrize("radius", [None, 0, 1])
def test_blocks_give_the_table_of_the_whole_cohort(
    grid_cohort: MakeCohort, radius: int | None
) -> None:
    cohort = random_cohort(grid_cohort)
    table = cohort_table(blocked(cohort), radius)
    expected = cohort_distances(cohort, radius)
    finite = np.isfinite(expected)
    assert np.array_equal(np.isfinite(table), finite)
    assert np.abs(table[finite] - expected[finite]).max() < 1e-5
    assert np.array_equal(cohort_table(one_block(cohort), radius), expected)


@pytest.mark.parametrize("radius", [None, 1])
def test_a_corrected_table_is_the_table_without_the_tokens(
    grid_cohort: MakeCohort, radius: int | None
) -> None:
    cohort = random_cohort(grid_cohort)
    filtered = (np.random.default_rng(6).random(len(cohort.own)) < 0.4) & (cohort.own > 2)
    table = cohort_table(blocked(cohort), radius)
    before = table.copy()
    corrected = table_without(table, blocked(cohort), filtered, radius)
    expected = reference_distances(cohort, cohort.select(~filtered), radius)
    expected[np.arange(len(expected)), cohort.own] = np.inf
    finite = np.isfinite(expected)
    assert np.array_equal(table, before)
    assert (corrected != before).any()
    assert np.array_equal(np.isfinite(corrected), finite)
    assert np.abs(corrected[finite] - expected[finite]).max() < 1e-5
    nothing = np.zeros(len(filtered), dtype=bool)
    assert np.array_equal(table_without(table, blocked(cohort), nothing, radius), table)


@pytest.mark.parametrize("radius", [None, 1])
def test_where_and_when_pieces_are_worked_on_changes_no_byte(
    grid_cohort: MakeCohort, radius: int | None
) -> None:
    cohort = blocked(random_cohort(grid_cohort))
    filtered = np.random.default_rng(7).random(len(cohort.own)) < 0.3
    here = cohort_table(cohort, radius)
    there = cohort_table(cohort, radius, far_away)
    assert here.tobytes() == there.tobytes()
    here = table_without(here, cohort, filtered, radius)
    there = table_without(there, cohort, filtered, radius, far_away)
    assert here.tobytes() == there.tobytes()


def test_a_piece_needs_the_tokens_of_two_blocks_only(grid_cohort: MakeCohort) -> None:
    cohort = blocked(random_cohort(grid_cohort))
    loaded: list[set[int]] = []

    class Watched:
        def __init__(self, number: int) -> None:
            self.number = number

        def load(self) -> CohortTokens:
            loaded[-1].add(self.number)
            return cohort.blocks[self.number].load()

    def spread(work: Callable[[Any], Encoding], pieces: Sequence[Any]) -> Iterable[Encoding]:
        for piece in pieces:
            loaded.append(set())
            yield work(piece)

    watched = BlockedCohort([Watched(number) for number in range(4)], cohort.offsets, cohort.edges)
    filtered = np.ones(len(cohort.own), dtype=bool)
    table = cohort_table(watched, 1, spread)
    table_without(table, watched, filtered, 1, spread)
    assert len(loaded) == 4 * 5 // 2 + 4 * 4
    assert max(map(len, loaded)) == 2


def test_shared_anomalies_are_found_from_blocks_too(grid_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(2)
    volumes, sick = 24, 6
    anatomy = rng.normal(size=(4, 4, 4, 8))
    tokens = anatomy + 0.4 * rng.normal(size=(volumes, 4, 4, 4, 8))
    lesion = np.zeros((4, 4, 4), dtype=bool)
    lesion[1:3, 1:3, 1:3] = True
    shared = anatomy[lesion] + 3
    tokens[:sick, lesion] = shared + 0.02 * rng.normal(size=(sick, *shared.shape))
    cohort = grid_cohort(tokens, np.ones((volumes, 4, 4, 4)))
    settings = ScoreSettings(radius=1)
    whole = score_blocks(one_block(cohort), settings, 0)
    parts = score_blocks(blocked(cohort, np.array([0, 5, 10, 15, 20, 24])), settings, 0, far_away)
    assert whole.filtered.any()
    assert np.array_equal(parts.filtered, whole.filtered)
    assert np.abs(parts.scores - whole.scores).max() < 1e-5
