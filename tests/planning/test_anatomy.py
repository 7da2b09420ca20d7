from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from brainad.nifti import read_volume
from brainad.planning.anatomy import Anatomy, box_mm, measure_anatomy, thinned
from brainad.resampling import resample
from brainad.volume import Grid, Volume

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def head() -> Volume:
    return read_volume(DATA / "colin27_t1_head.nii.gz")


@pytest.fixture(scope="module")
def brain() -> Volume:
    return read_volume(DATA / "colin27_t1_brain.nii.gz")


def moved(volume: Volume, scale: float = 1.0, angle: float = 0.0, shift_mm: float = 0.0) -> Volume:
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_euler("z", angle, degrees=True).as_matrix() / scale
    transform[1, 3] = shift_mm
    return resample(volume, volume.grid, 1, transform)


def noisy(volume: Volume, sigma: float) -> Volume:
    noise = np.random.default_rng(0).normal(0, sigma, (2, *volume.grid.shape))
    data = np.hypot(volume.data + noise[0], noise[1]).astype(np.float32)
    return Volume(data, volume.grid)


def litres(anatomy: Anatomy) -> float:
    return float(anatomy.foreground.data.sum() * anatomy.foreground.grid.voxel_mm3 / 1e6)


def test_a_head_is_a_head(head: Volume, brain: Volume) -> None:
    for image in (head, noisy(head, 4), noisy(head, 12)):
        found = measure_anatomy(image, brain)
        assert not found.skull_stripped
        assert not found.in_template_space
        assert 3.4 < litres(found) < 4.4


@pytest.mark.parametrize("scale", [0.8, 0.75])
def test_a_small_head_is_not_taken_for_a_brain(head: Volume, brain: Volume, scale: float) -> None:
    found = measure_anatomy(moved(head, scale), brain)
    assert 1.7 < litres(found) < 2.3
    assert not found.skull_stripped


def test_a_cut_head_is_not_taken_for_a_brain(head: Volume, brain: Volume) -> None:
    upper = head.data[:, :, 75:]
    grid = Grid((upper.shape[0], upper.shape[1], upper.shape[2]), head.grid.affine)
    assert not measure_anatomy(Volume(upper, grid), brain).skull_stripped


def inverted(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the brain with the contrast of a T2: fluid bright, white matter dark."""
    return np.where(data > 0, 150 - data, 0).astype(np.float32)


def z_scored(data: NDArray[np.float32]) -> NDArray[np.float32]:
    inside = data[data > 0]
    return np.where(data > 0, (data - inside.mean()) / inside.std(), 0).astype(np.float32)


def shifted_up(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the brain in front of a constant background that is not 0."""
    return data + np.float32(5)


@pytest.mark.parametrize("contrast", [np.copy, inverted, z_scored, shifted_up])
def test_a_brain_is_a_brain_in_any_contrast(brain: Volume, contrast: object) -> None:
    assert callable(contrast)
    found = measure_anatomy(Volume(contrast(brain.data), brain.grid), brain)
    assert found.skull_stripped
    assert found.in_template_space
    assert litres(found) == pytest.approx(1.74, abs=0.05)
    assert found.fraction == pytest.approx(0.245, abs=0.01)


def test_a_child_brain_is_a_brain_elsewhere(brain: Volume) -> None:
    found = measure_anatomy(moved(brain, 0.8), brain)
    assert found.skull_stripped
    assert not found.in_template_space


@pytest.mark.parametrize(
    ("angle", "shift_mm", "same"), [(0, 2, True), (10, 0, False), (0, 10, False)]
)
def test_template_space_is_measured(
    brain: Volume, angle: float, shift_mm: float, same: bool
) -> None:
    found = measure_anatomy(moved(brain, 1.0, angle, shift_mm), brain)
    assert found.skull_stripped
    assert found.in_template_space == same


def test_the_range_does_not_depend_on_the_file_order(brain: Volume) -> None:
    flipped = Grid((217, 181, 181), brain.grid.affine @ _swap_and_flip(217))
    stored = Volume(np.ascontiguousarray(brain.data.transpose(1, 0, 2)[::-1]), flipped)
    expected = ((-72, 71), (-106, 73), (-67, 84))
    for image in (brain, stored):
        found = measure_anatomy(image, brain)
        assert np.allclose(found.range_mm, expected, atol=3)


def _swap_and_flip(length: int) -> NDArray[np.float64]:
    """Return the voxel mapping from (j reversed, i, k) to (i, j, k)."""
    mapping = np.zeros((4, 4))
    mapping[0, 1] = mapping[2, 2] = mapping[3, 3] = 1
    mapping[1, 0], mapping[1, 3] = -1, length - 1
    return mapping


def test_thinning_keeps_positions() -> None:
    data = np.arange(12 * 9 * 4, dtype=np.float32).reshape(12, 9, 4)
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    thin = thinned(Volume(data, Grid((12, 9, 4), affine)))
    assert thin.grid.spacing_mm == (3.0, 3.0, 5.0)
    assert np.array_equal(thin.data, data[::3, ::3])


def test_box() -> None:
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[1, 0, 2] = mask[2, 0, 3] = True
    grid = Grid((4, 4, 4), np.diag([2.0, 2.0, -1.0, 1.0]))
    assert box_mm(Volume(mask, grid)) == ((2.0, 4.0), (0.0, 0.0), (-3.0, -2.0))
    empty = Volume(np.zeros_like(mask), grid)
    assert box_mm(empty) == ((0.0, 6.0), (0.0, 6.0), (-3.0, 0.0))


def test_noise_has_no_anatomy(brain: Volume) -> None:
    data = np.random.default_rng(0).normal(size=(60, 60, 60)).astype(np.float32)
    found = measure_anatomy(Volume(data, Grid((60, 60, 60), np.diag([3.0, 3, 3, 1]))), brain)
    assert not found.skull_stripped
    assert litres(found) < 0.2
