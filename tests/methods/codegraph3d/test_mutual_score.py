from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.methods.codegraph3d.cohort import CohortTokens
from brainad.methods.codegraph3d.matching import cohort_distances
from brainad.methods.codegraph3d.mutual_score import Interval, mutual_scores, rank_range

Golden = Callable[[str], dict[str, NDArray[Any]]]
MakeCohort = Callable[[NDArray[Any], NDArray[Any]], CohortTokens]


@pytest.mark.parametrize(
    ("others", "interval", "expected"),
    [
        (179, (0, 0.3), (0, 53)),
        (29, (0, 0.3), (0, 8)),
        (180, (0, 0.35), (0, 63)),
        (3, (0, 0.3), (0, 1)),
        (1, (0, 0.3), (0, 1)),
        (11, (0.1, 0.5), (1, 5)),
        (11, (0.5, 0.1), (1, 5)),
        (11, (0, 3), (0, 3)),
        (11, (0, 1.0), (0, 1)),
        (2, (0, 7), (0, 2)),
        (10, (0.3, 0.3), (2, 3)),
    ],
)
def test_intervals_become_ranks(others: int, interval: Interval, expected: tuple[int, int]) -> None:
    assert rank_range(others, interval) == expected


@pytest.mark.parametrize(
    ("key", "interval"),
    [
        ("fast_00_03", (0, 0.3)),
        ("slow_00_03", (0, 0.3)),
        ("msm_default", (0, 0.3)),
        ("score_f64_00_03", (0, 0.3)),
        ("fast_01_05", (0.1, 0.5)),
        ("score_f64_01_05", (0.1, 0.5)),
        ("fast_swapped_05_01", (0.5, 0.1)),
        ("fast_count_0_3", (0, 3)),
        ("fast_count_0_1", (0, 1)),
    ],
)
def test_scores_match_the_golden_file(
    golden: Golden, line_cohort: MakeCohort, key: str, interval: Interval
) -> None:
    known = golden("msm")
    images, size, _ = known["Z"].shape
    cohort = line_cohort(known["Z"].reshape(images * size, -1), np.arange(images + 1) * size)
    scores = mutual_scores(cohort_distances(cohort), rank_range(images - 1, interval))
    assert np.abs(scores - known[key].ravel()).max() < 2e-6


def test_tiny_batches_match_the_safe_rule(golden: Golden, line_cohort: MakeCohort) -> None:
    known = golden("msm")
    assert np.isnan(known["small_batch_official"]).all()
    cohort = line_cohort(known["Z_small"].reshape(20, -1), np.arange(5) * 5)
    scores = mutual_scores(cohort_distances(cohort), rank_range(3, (0, 0.3)))
    assert np.abs(scores - known["small_batch_safe"].ravel()).max() < 2e-6


def test_window_scores_match_the_golden_file(golden: Golden, grid_cohort: MakeCohort) -> None:
    known = golden("window")
    cells = known["mask"].astype(bool)
    table = cohort_distances(grid_cohort(known["grid_tokens"], cells), int(known["radius"]))
    ranks = rank_range(len(cells) - 1, (0, 0.3))
    assert ranks == (0, int(known["K"]))
    assert np.abs(mutual_scores(table, ranks) - known["score"][cells]).max() < 1e-5


def test_missing_volumes_leave_the_mean_of_the_available_ones() -> None:
    table = np.array(
        [[3, 1, 2, 9], [np.inf, 4, np.inf, 6], [np.inf] * 4, [np.inf, np.inf, 5, np.inf]],
        dtype=np.float32,
    )
    assert np.array_equal(mutual_scores(table, (0, 3)), [2, 5, np.nan, 5], equal_nan=True)
    assert np.array_equal(mutual_scores(table, (1, 3)), [2.5, 6, np.nan, 5], equal_nan=True)
    assert np.array_equal(mutual_scores(table, (0, 4)), [3.75, 5, np.nan, 5], equal_nan=True)
