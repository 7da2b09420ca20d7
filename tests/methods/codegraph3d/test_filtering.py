from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.methods.codegraph3d.cohort import CohortTokens
from brainad.methods.codegraph3d.filtering import (
    dependency_ratios,
    distances_without,
    filter_community,
)
from brainad.methods.codegraph3d.graph import GraphSettings
from brainad.methods.codegraph3d.matching import cohort_distances, reference_distances
from brainad.methods.codegraph3d.mutual_score import rank_range

Golden = Callable[[str], dict[str, NDArray[Any]]]
MakeCohort = Callable[[NDArray[Any], NDArray[Any]], CohortTokens]
NAMES = ["planted", "two_groups", "null", "domain"]


@pytest.mark.parametrize("name", NAMES)
def test_filters_match_the_golden_file(golden: Golden, line_cohort: MakeCohort, name: str) -> None:
    known = golden(f"codegraph_{name}")
    cohort = line_cohort(known["tokens"], known["offsets"])
    table = cohort_distances(cohort)
    ranks = rank_range(cohort.volumes - 1, (0, 0.3))
    filtered = np.zeros(len(table), dtype=bool)
    for row, community in enumerate(np.flatnonzero(known["comm_flagged"])):
        members = known["volume_label"] == community
        found = filter_community(table, cohort.own, members, ranks, GraphSettings())
        assert np.abs(found.dependency - known["dep"][row]).max() < 1e-4
        assert abs(found.threshold - known["dep_thr"][row]) < 1e-4
        assert found.share == pytest.approx(known["filter_frac"][row])
        assert found.domain == known["comm_domain"][community]
        filtered |= found.filtered
    assert np.array_equal(filtered, known["filtered"].astype(bool))


@pytest.mark.parametrize("name", NAMES)
def test_corrected_tables_match_the_golden_file(
    golden: Golden, line_cohort: MakeCohort, name: str
) -> None:
    known = golden(f"codegraph_{name}")
    cohort = line_cohort(known["tokens"], known["offsets"])
    table = cohort_distances(cohort)
    corrected = distances_without(table, cohort, cohort, known["filtered"].astype(bool), None)
    expected = known["D"].copy()
    expected[tuple(known["changed_entries"].T)] = known["D_filtered_changed"]
    finite = np.isfinite(expected)
    assert np.array_equal(np.isfinite(corrected), finite)
    assert np.abs(corrected[finite] - expected[finite]).max() < 5e-5


@pytest.mark.parametrize("radius", [None, 1])
def test_the_corrected_table_equals_a_table_without_the_tokens(
    grid_cohort: MakeCohort, radius: int | None
) -> None:
    rng = np.random.default_rng(8)
    cohort = grid_cohort(rng.normal(size=(5, 3, 3, 3, 4)), rng.random((5, 3, 3, 3)) < 0.5)
    filtered = (rng.random(len(cohort.own)) < 0.3) & np.isin(cohort.own, [1, 2])
    filtered |= cohort.own == 4
    table = cohort_distances(cohort, radius)
    before = table.copy()
    corrected = distances_without(table, cohort, cohort, filtered, radius)
    expected = reference_distances(cohort, cohort.select(~filtered), radius)
    expected[np.arange(len(expected)), cohort.own] = np.inf
    finite = np.isfinite(expected)
    assert np.array_equal(table, before)
    assert (corrected != before).any()
    assert np.array_equal(np.isfinite(corrected), finite)
    assert np.abs(corrected[finite] - expected[finite]).max() < 1e-5


@pytest.mark.parametrize("radius", [None, 1])
def test_near_duplicates_of_removed_references_are_measured_again(
    grid_cohort: MakeCohort, radius: int | None
) -> None:
    rng = np.random.default_rng(9)
    tokens = rng.normal(size=(6, 3, 3, 3, 8)) + 3
    tokens[:3, 1, 1] = tokens[0, 1, 1] + 1e-3 * rng.normal(size=(3, 3, 8))
    cohort = grid_cohort(tokens, np.ones((6, 3, 3, 3)))
    filtered = np.isin(cohort.cell_index, [12, 13, 14]) & (cohort.own < 3)
    # The same distances measured from another centre, as another block has it, differ slightly.
    table = cohort_distances(cohort, radius) * np.float32(1 - 2e-3)
    corrected = distances_without(table, cohort, cohort, filtered, radius)
    near = corrected[filtered][:, :3]
    assert near[np.isfinite(near)].min() > 0.5


def test_dependency_averages_what_is_left_and_is_nan_where_nothing_is() -> None:
    inf = np.inf
    table = np.array([[1, 2, 4, 8], [2, inf, 6, inf], [2, 3, inf, inf]], dtype=np.float32)
    members = np.array([True, True, False, False])
    found = dependency_ratios(table, members, (0, 2))
    assert np.array_equal(found, [6 / 1.5, 6 / 4, np.nan], equal_nan=True)


def test_a_community_that_shares_most_of_its_tissue_loses_nothing() -> None:
    own = np.repeat(np.arange(6), 4)
    members = np.arange(6) < 3
    table = np.full((24, 6), 5, dtype=np.float32)
    table[:12, :3] = 1
    table[np.arange(24), own] = np.inf
    found = filter_community(table, own, members, (0, 2), GraphSettings())
    assert found.share == 1
    assert found.domain
    assert not found.filtered.any()
    tolerant = GraphSettings(max_filtered_share=1.0)
    assert filter_community(table, own, members, (0, 2), tolerant).filtered.sum() == 12
