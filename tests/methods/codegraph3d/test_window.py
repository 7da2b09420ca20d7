from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.methods.codegraph3d.cohort import CohortTokens
from brainad.methods.codegraph3d.matching import cohort_distances, reference_distances
from brainad.methods.codegraph3d.window import window_distances

Golden = Callable[[str], dict[str, NDArray[Any]]]
MakeCohort = Callable[[NDArray[Any], NDArray[Any]], CohortTokens]


def random_grids(seed: int, volumes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(volumes, 3, 4, 5, 6)), rng.random((volumes, 3, 4, 5)) < 0.2


def naive_window(queries: CohortTokens, references: CohortTokens, radius: int) -> NDArray[Any]:
    """Compare every query token with every reference token that is near enough."""
    here = np.stack(np.unravel_index(queries.cell_index, queries.grid), 1)
    there = np.stack(np.unravel_index(references.cell_index, references.grid), 1)
    table = np.full((len(here), references.volumes), np.inf)
    for token, position in enumerate(here):
        near = np.abs(there - position).max(1) <= radius
        for other in np.flatnonzero(near):
            distance = float((queries.tokens[token] - references.tokens[other]).norm())
            volume = references.own[other]
            table[token, volume] = min(table[token, volume], distance)
    return table


def assert_same_table(found: NDArray[Any], expected: NDArray[Any]) -> None:
    finite = np.isfinite(expected)
    assert np.array_equal(np.isfinite(found), finite)
    assert np.abs(found[finite] - expected[finite]).max() < 1e-5


def test_table_matches_the_golden_file(golden: Golden, grid_cohort: MakeCohort) -> None:
    known = golden("window")
    cohort = grid_cohort(known["grid_tokens"], known["mask"])
    table = cohort_distances(cohort, int(known["radius"]))
    assert_same_table(table, known["D_window"][known["mask"].astype(bool)])


@pytest.mark.parametrize("radius", [0, 1, 2])
@pytest.mark.parametrize("values_per_tile", [1, 2**18])
def test_cohort_equals_the_naive_window(
    grid_cohort: MakeCohort,
    radius: int,
    values_per_tile: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("brainad.methods.codegraph3d.window.VALUES_PER_TILE", values_per_tile)
    cohort = grid_cohort(*random_grids(1, 4))
    table = cohort_distances(cohort, radius)
    expected = naive_window(cohort, cohort, radius)
    expected[np.arange(len(expected)), cohort.own] = np.inf
    assert_same_table(table, expected)


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_queries_against_references_equal_the_naive_window(
    grid_cohort: MakeCohort, radius: int
) -> None:
    queries = grid_cohort(*random_grids(2, 2))
    references = grid_cohort(*random_grids(3, 3))
    expected = naive_window(queries, references, radius)
    assert_same_table(reference_distances(queries, references, radius), expected)


def test_a_window_over_the_whole_grid_is_global_matching(grid_cohort: MakeCohort) -> None:
    cohort = grid_cohort(*random_grids(4, 3))
    assert_same_table(cohort_distances(cohort, 4), cohort_distances(cohort))


def test_different_grids_are_refused(grid_cohort: MakeCohort) -> None:
    tokens, cells = random_grids(5, 2)
    with pytest.raises(ValueError, match="grids differ"):
        window_distances(grid_cohort(tokens, cells), grid_cohort(tokens[:, :2], cells[:, :2]), 1)
