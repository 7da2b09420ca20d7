from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from brainad.errors import DataError
from brainad.nifti import read_volume
from brainad.phantom import PhantomOptions, render_phantom, sample_parameters
from brainad.phantom.anatomy import Pose
from brainad.preprocessing.brain_mask import nonzero_brain
from brainad.preprocessing.pyramid import Scan
from brainad.preprocessing.registration import Registration, register
from brainad.preprocessing.template import MNI152, load_template
from brainad.resampling import resample
from brainad.volume import Grid, Volume, centred_grid

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def colin() -> Scan:
    """Sample the Colin27 brain at 3 mm."""
    image = read_volume(DATA / "colin27_t1_brain.nii.gz")
    brain = nonzero_brain(image)
    grid = centred_grid((52, 64, 54), 3.0, Scan(image, brain).centre_mm())
    return Scan(resample(image, grid), resample(brain, grid))


def _moved(scan: Scan, matrix: NDArray[np.float64], grid: Grid) -> Scan:
    assert scan.brain is not None
    fixed_from_moving = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    image = resample(scan.image, grid, source_from_target=fixed_from_moving)
    return Scan(image, resample(scan.brain, grid, source_from_target=fixed_from_moving))


def _corner_error_mm(result: Registration, matrix: NDArray[np.float64], fixed: Scan) -> float:
    """Average the error over the corners of the box around the fixed brain."""
    assert fixed.brain is not None
    index = np.argwhere(fixed.brain.data)
    corners = np.array(list(itertools.product(*zip(index.min(0), index.max(0), strict=True))))
    world = np.c_[corners, np.ones(8)] @ fixed.brain.grid.affine.T
    difference = (result.moving_from_fixed - matrix)[:3] @ world.T
    return float(np.linalg.norm(difference, axis=0).mean())


def test_a_large_affine_move_is_recovered_to_the_same_bytes(colin: Scan) -> None:
    matrix = Pose((-17.0, 14.0, 19.0), (0.92, 1.07, 1.01), (21.0, -16.0, 24.0)).native_from_template
    moving = _moved(colin, matrix, centred_grid((80, 80, 80), 3.0, colin.centre_mm()))
    first, second = register(moving, colin), register(moving, colin)
    assert _corner_error_mm(first, matrix, colin) < 1.5
    assert not first.restarted
    assert first.moving_from_fixed.tobytes() == second.moving_from_fixed.tobytes()
    assert first.similarity == second.similarity


def test_a_header_that_turns_the_head_over_makes_the_search_restart(colin: Scan) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xy", (90, 190), degrees=True).as_matrix()
    assert colin.brain is not None
    grid = Grid(colin.image.grid.shape, matrix @ colin.image.grid.affine)
    moving = Scan(Volume(colin.image.data, grid), Volume(colin.brain.data, grid))
    result = register(moving, colin)
    assert result.restarted
    assert _corner_error_mm(result, matrix, colin) < 1.5


def test_a_t2_phantom_finds_the_t1_template() -> None:
    template = load_template(MNI152).scan
    options = PhantomOptions(channels=("T2",), spacing_mm=(2.0, 2.0, 4.0), warp_mm=0.0)
    pose = Pose((15.0, -12.0, 18.0), (1.08, 0.93, 0.97), (-20.0, 15.0, 10.0))
    phantom = render_phantom(options, replace(sample_parameters(options, 4), pose=pose))
    result = register(Scan(phantom.images["T2"], phantom.brain), template)
    assert _corner_error_mm(result, pose.native_from_template, template) < 3
    assert result.overlap is not None
    assert result.overlap > 0.95


def test_another_contrast_without_brain_is_aligned_rigidly(colin: Scan) -> None:
    matrix = Pose((6.0, -5.0, 8.0), shift_mm=(9.0, -4.0, 7.0)).native_from_template
    inverted = np.where(colin.image.data > 0, 150 - colin.image.data, 0).astype(np.float32)
    contrast = Scan(Volume(inverted, colin.image.grid), colin.brain)
    grid = centred_grid((80, 80, 80), 3.0, colin.centre_mm())
    moving = Scan(_moved(contrast, matrix, grid).image, None)
    result = register(moving, colin, "rigid")
    rotation = result.moving_from_fixed[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
    assert _corner_error_mm(result, matrix, colin) < 1.0
    assert result.overlap is None


def test_a_constant_scan_is_a_data_error(colin: Scan) -> None:
    constant = Volume(np.ones_like(colin.image.data), colin.image.grid)
    with pytest.raises(DataError, match="nothing to align"):
        register(Scan(constant, colin.brain), colin)
