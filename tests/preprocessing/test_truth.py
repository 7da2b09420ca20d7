from __future__ import annotations

import numpy as np
import pytest

from brainad.case import Labels, Placement
from brainad.preprocessing.truth import place_truth
from brainad.truth import ANOMALOUS, NORMAL, UNKNOWN
from brainad.volume import Grid, Volume, centred_grid

WORKING = centred_grid((10, 12, 16), 1.0, np.zeros(3))
BRAIN = np.ones(WORKING.shape, dtype=bool)


def native(thickness_mm: float = 2.0) -> Grid:
    """A grid that fills the working box: x flipped, slices (first axis) along z."""
    count = int(16 / thickness_mm)
    affine = np.array(
        [
            [0, -1.0, 0, 4.5],
            [0, 0, 1.0, -5.5],
            [thickness_mm, 0, 0, -8 + thickness_mm / 2],
            [0, 0, 0, 1],
        ]
    )
    return Grid((count, 10, 12), affine)


def place(labels: Labels, lesion: Volume | None = None, grid: Grid | None = None) -> list[int]:
    placement = Placement(grid or native(), WORKING, np.eye(4))
    slices: list[int] = place_truth(labels, lesion, placement, BRAIN, 2).slices.tolist()
    return slices


def test_a_healthy_case_is_normal_throughout() -> None:
    assert place(Labels("healthy")) == [NORMAL] * 16


def test_nothing_is_known_without_labels() -> None:
    assert place(Labels()) == [UNKNOWN] * 16
    assert place(Labels("unhealthy")) == [UNKNOWN] * 16


def test_a_mask_lands_where_it_was_drawn() -> None:
    grid = native()
    mask = np.zeros(grid.shape, dtype=bool)
    mask[3, 2, 5] = True
    truth = place_truth(
        Labels("unhealthy"), Volume(mask, grid), Placement(grid, WORKING, np.eye(4)), BRAIN, 2
    )
    assert truth.lesion is not None
    # Slices of 2 mm are two working slices thick; x is flipped.
    assert np.argwhere(truth.lesion).tolist() == [[7, 5, 6], [7, 5, 7]]
    assert np.flatnonzero(truth.slices == ANOMALOUS).tolist() == [6, 7]
    # Their neighbours are touched by less than a voxel, so that nobody calls them normal.
    assert np.flatnonzero(truth.slices == UNKNOWN).tolist() == [5, 8]
    assert np.flatnonzero(truth.slices == NORMAL).size == 12


def test_an_empty_mask_is_normal() -> None:
    grid = native()
    assert place(Labels(), Volume(np.zeros(grid.shape, dtype=bool), grid)) == [NORMAL] * 16


def test_labels_per_slice_travel_with_the_case() -> None:
    labels = Labels(slices={0: False, 1: False, 2: True, 7: True}, slice_axis=0)
    expected = [NORMAL] * 4 + [ANOMALOUS] * 2 + [UNKNOWN] * 8 + [ANOMALOUS] * 2
    assert place(labels) == expected


def test_labels_per_slice_rank_above_the_mask() -> None:
    grid = native()
    mask = np.zeros(grid.shape, dtype=bool)
    mask[3, 2, 5] = True
    labels = Labels(slices={3: False, 4: False}, slice_axis=0)
    assert place(labels, Volume(mask, grid))[6:10] == [NORMAL] * 4


@pytest.mark.parametrize(("first", "second", "expected"), [
    (False, False, NORMAL), (True, True, ANOMALOUS), (True, False, ANOMALOUS),
])  # fmt: skip
def test_a_slice_that_cuts_two_is_judged_by_its_brain(
    first: bool, second: bool, expected: int
) -> None:
    # The labels count along the y axis of the file, so every z slice cuts all of them.
    labels = Labels(
        "unhealthy", slices={n: first if n < 6 else second for n in range(12)}, slice_axis=2
    )
    assert place(labels) == [expected] * 16
    few = Labels("unhealthy", slices={n: n == 0 for n in range(12)}, slice_axis=2)
    assert place(few) == [UNKNOWN] * 16
