import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.inference.scoring import (
    Extent,
    calibrated_map,
    calibrated_score,
    carried_slice_scores,
    decide,
    extent,
    slice_scores,
)
from brainad.prediction import Calibration
from brainad.volume import Grid, Volume

GRID = Grid((4, 5, 6), np.diag([1.0, 2.0, 3.0, 1.0]))
CALIBRATION = Calibration(map_threshold=2.0, patient_threshold=8.0, source="test")


def test_the_thresholds_become_one_half() -> None:
    raw = np.zeros(GRID.shape, dtype=np.float32)
    raw[0, 0, 0], raw[1, 1, 1] = 2.0, 6.0
    calibrated = calibrated_map(Volume(raw, GRID), CALIBRATION)
    assert calibrated.data.dtype == np.float32
    assert (calibrated.data[0, 0, 0], calibrated.data[1, 1, 1]) == (0.5, 0.75)
    assert calibrated.data[3, 3, 3] == 0
    assert calibrated_score(8.0, CALIBRATION) == 0.5
    assert calibrated_score(2.0, CALIBRATION) == pytest.approx(0.2)


def two_components() -> Volume:
    """A component of four voxels that hang together by a corner, and a single voxel."""
    data = np.zeros(GRID.shape, dtype=np.float32)
    data[0, 0, :3] = data[1, 1, 3] = 0.5
    data[3, 4, 5] = 0.9
    data[3, 0, 0] = 0.49
    return Volume(data, GRID)


def test_the_mask_holds_what_reaches_the_threshold() -> None:
    mask = decide(two_components())
    assert mask.data.dtype == np.bool_
    assert np.array_equal(mask.data, two_components().data >= 0.5)


@pytest.mark.parametrize(("minimum_mm3", "voxels"), [(6.0, 5), (6.1, 4), (24.0, 4), (24.1, 0)])
def test_components_smaller_than_the_minimum_are_dropped(minimum_mm3: float, voxels: int) -> None:
    assert decide(two_components(), minimum_mm3).data.sum() == voxels


def test_an_empty_map_gives_an_empty_mask_even_with_a_minimum() -> None:
    empty = Volume(np.zeros(GRID.shape, dtype=np.float32), GRID)
    assert not decide(empty, minimum_mm3=1.0).data.any()
    assert extent(decide(empty), slice_scores(empty, 1)) == Extent(0.0, 0.0, 0)


@pytest.mark.parametrize(("axis", "best"), [(0, 3), (1, 4), (2, 5)])
def test_slices_score_their_maximum_along_the_given_axis(axis: int, best: int) -> None:
    scores = slice_scores(two_components(), axis)
    assert scores.shape == (GRID.shape[axis],)
    assert scores[best] == scores.max() == np.float32(0.9)


def test_extent_is_measured_in_world_units() -> None:
    calibrated = two_components()
    found = extent(decide(calibrated), slice_scores(calibrated, 2))
    assert found == Extent(anomalous_volume_mm3=30.0, largest_component_mm3=24.0, max_slice_index=5)


def crossing(evidence: dict[tuple[int, int, int], float]) -> NDArray[np.float32]:
    """Score slices that lie half in a working slice of 0.1 and half in one of 0.9."""
    carried = np.full(GRID.shape, 0.1, dtype=np.float32)
    carried[2:] = 0.9
    calibrated = np.zeros(GRID.shape, dtype=np.float32)
    for voxel, value in evidence.items():
        calibrated[voxel] = value
    return carried_slice_scores(Volume(carried, GRID), Volume(calibrated, GRID), 2)


def test_a_tilted_slice_counts_where_the_map_finds_something() -> None:
    scores = crossing({(0, 1, 0): 0.8, (3, 1, 1): 0.8, (0, 1, 2): 0.3, (3, 1, 2): 0.6})
    np.testing.assert_allclose(scores[:3], [0.1, 0.9, 0.1 / 3 + 0.9 * 2 / 3], atol=1e-3)


def test_without_evidence_all_of_a_tilted_slice_counts_alike() -> None:
    np.testing.assert_allclose(crossing({}), 0.5, atol=1e-6)


def test_a_slice_that_lies_in_one_working_slice_keeps_its_score() -> None:
    scores = np.linspace(0, 0.9, GRID.shape[1], dtype=np.float32)
    carried = np.broadcast_to(scores[:, None], GRID.shape).copy()
    carried[0] = 0  # outside the brain
    evidence = np.random.default_rng(0).random(GRID.shape).astype(np.float32)
    found = carried_slice_scores(Volume(carried, GRID), Volume(evidence, GRID), 1)
    np.testing.assert_allclose(found, scores, atol=1e-6)
