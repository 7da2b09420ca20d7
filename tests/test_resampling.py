from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from brainad.resampling import ras_grid, resample
from brainad.volume import Grid, Shape, Volume, centred_grid

GOLDEN = Path(__file__).parent / "golden" / "codegraph3d" / "preprocess.npz"
ORIENTATIONS = [
    (axes, signs)
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def _reoriented(grid: Grid, axes: tuple[int, ...], signs: tuple[int, ...]) -> Grid:
    """Describe the same voxels with axes swapped and flipped."""
    steps = np.zeros((4, 4))
    steps[3, 3] = 1
    shape = [0, 0, 0]
    for axis, (target, sign) in enumerate(zip(axes, signs, strict=True)):
        shape[target] = grid.shape[axis]
        steps[axis, target] = sign
        steps[axis, 3] = 0 if sign > 0 else grid.shape[axis] - 1
    return Grid((shape[0], shape[1], shape[2]), grid.affine @ steps)


def _rotated_grid(
    shape: Shape, spacing: tuple[float, ...], angles: tuple[float, ...], centre: NDArray[np.float64]
) -> Grid:
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = rotation @ np.diag(spacing)
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def _random_volume(rng: np.random.Generator) -> Volume:
    shape = (7, 8, 9)
    grid = _rotated_grid(shape, (0.9, 1.2, 2.5), (9.0, -7.0, 13.0), np.array([3.0, -5.0, 11.0]))
    return Volume(rng.random(shape, dtype=np.float32) + 1, grid)


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_every_orientation_round_trips_exactly(
    axes: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    volume = _random_volume(np.random.default_rng(0))
    there = resample(volume, _reoriented(volume.grid, axes, signs))
    back = resample(there, volume.grid)
    np.testing.assert_array_equal(np.sort(there.data, axis=None), np.sort(volume.data, axis=None))
    np.testing.assert_array_equal(back.data, volume.data)


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_ras_grid_undoes_every_orientation(axes: tuple[int, ...], signs: tuple[int, ...]) -> None:
    volume = _random_volume(np.random.default_rng(1))
    turned = resample(volume, _reoriented(volume.grid, axes, signs))
    grid = ras_grid(turned.grid)
    assert "".join(nib.aff2axcodes(grid.affine)) == "RAS"
    assert grid.matches(volume.grid, tolerance_mm=1e-9)
    np.testing.assert_array_equal(resample(turned, grid).data, volume.data)


def test_whole_voxel_shifts_are_exact_and_pad_with_0() -> None:
    volume = Volume(np.arange(1, 28, dtype=np.float32).reshape(3, 3, 3), Grid((3, 3, 3), np.eye(4)))
    affine = np.eye(4)
    affine[:3, 3] = (1, -1, 0)
    shifted = resample(volume, Grid((3, 3, 3), affine)).data
    np.testing.assert_array_equal(shifted[:2, 1:], volume.data[1:, :2])
    assert not shifted[2].any()
    assert not shifted[:, 0].any()


def test_a_grid_elsewhere_is_empty() -> None:
    volume = Volume(np.ones((3, 3, 3), dtype=np.float32), Grid((3, 3, 3), np.eye(4)))
    affine = np.eye(4)
    affine[0, 3] = 10
    assert not resample(volume, Grid((3, 3, 3), affine)).data.any()


@pytest.mark.parametrize("seed", range(6))
def test_oblique_grids_agree_with_an_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    volume = _random_volume(rng)
    spacing, angles = tuple(rng.uniform(0.7, 3, 3)), tuple(rng.uniform(-40, 40, 3))
    grid = _rotated_grid((9, 8, 7), spacing, angles, volume.grid.centre_mm)
    matrix = np.eye(4) + 0.05 * np.vstack([rng.normal(size=(3, 4)), np.zeros(4)])
    expected = _oracle(volume, grid, matrix)
    result = resample(volume, grid, source_from_target=matrix)
    assert (expected > 0).mean() > 0.1
    np.testing.assert_allclose(result.data, expected, atol=2e-5)


def _oracle(volume: Volume, grid: Grid, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    index = np.indices(grid.shape).reshape(3, -1)
    homogeneous = np.vstack([index, np.ones(index.shape[1])])
    voxels: NDArray[np.float64] = np.linalg.inv(volume.grid.affine) @ matrix @ grid.affine
    source = np.asarray((voxels @ homogeneous)[:3], dtype=np.float64)
    upper = np.array(volume.grid.shape)[:, None] - 0.5
    inside = ((source >= -0.5) & (source <= upper)).all(axis=0)
    values = ndimage.map_coordinates(
        volume.data.astype(np.float64), source, order=1, mode="nearest"
    )
    return np.where(inside, values, 0).reshape(grid.shape)


def test_voxels_fill_their_boxes_and_nothing_beyond() -> None:
    line = Volume(
        np.array([1, 2, 3], dtype=np.float32).reshape(3, 1, 1), Grid((3, 1, 1), np.eye(4))
    )
    affine = np.diag([0.2, 1.0, 1.0, 1.0])
    affine[0, 3] = -0.7
    result = resample(line, Grid((18, 1, 1), affine)).data[:, 0, 0]
    # Positions -0.7, -0.5, -0.3, -0.1, 0.1, ... 2.3, 2.5, 2.7; the edges at +-0.5 are left out.
    expected = [0, 1, 1, 1.1, 1.3, 1.5, 1.7, 1.9, 2.1, 2.3, 2.5, 2.7, 2.9, 3, 3]
    np.testing.assert_allclose([result[0], *result[2:16]], expected, atol=1e-6)
    assert result[17] == 0


def test_bool_stays_bool_and_is_never_blended() -> None:
    mask = np.zeros((5, 5, 5), dtype=bool)
    mask[2, 2, 2] = True
    volume = Volume(mask, Grid((5, 5, 5), np.eye(4)))
    grid = _rotated_grid((9, 9, 9), (0.5, 0.5, 0.5), (10.0, 0.0, 20.0), volume.grid.centre_mm)
    result = resample(volume, grid, order=1)
    assert result.data.dtype == np.bool_
    assert result.data.any()
    np.testing.assert_array_equal(result.data, resample(volume, grid, order=0).data)


def test_other_types_become_float32_and_the_source_is_kept() -> None:
    data = np.arange(8, dtype=np.int16).reshape(2, 2, 2)
    data.flags.writeable = False
    volume = Volume(data, Grid((2, 2, 2), np.eye(4)))
    for grid in (volume.grid, centred_grid((3, 3, 3), 0.5, volume.grid.centre_mm)):
        assert resample(volume, grid).data.dtype == np.float32


def test_cube_resampling_agrees_with_the_golden_array() -> None:
    golden = np.load(GOLDEN)
    cropped, target = golden["cropped"], int(golden["resample_target"])
    source = Volume(cropped, Grid(cropped.shape, np.eye(4)))
    grid = centred_grid((target,) * 3, cropped.shape[0] / target, source.grid.centre_mm)
    np.testing.assert_allclose(resample(source, grid).data, golden["resampled"], atol=1e-5)


@pytest.mark.parametrize("as_mask", [True, False])
def test_a_sphere_comes_back_where_it_was_painted(as_mask: bool) -> None:
    template = centred_grid((80, 80, 80), 1.0, np.array([5.0, -20.0, 8.0]))
    centre = np.array([14.3, -31.2, 17.8])
    index = np.indices(template.shape).reshape(3, -1)
    world = template.affine[:3, :3] @ index + template.affine[:3, 3:]
    sphere = (np.linalg.norm(world - centre[:, None], axis=0) <= 10).reshape(template.shape)
    painted = Volume(sphere if as_mask else sphere.astype(np.float32), template)
    template_from_native = np.eye(4)
    rotation = Rotation.from_euler("xyz", (12, -9, 17), degrees=True).as_matrix()
    template_from_native[:3, :3] = rotation @ np.diag([0.95, 1.07, 1.02])
    template_from_native[:3, 3] = (6.0, -11.0, 4.0)
    expected = (np.linalg.inv(template_from_native) @ np.append(centre, 1))[:3]
    native = _rotated_grid((120, 120, 28), (0.9, 0.9, 4.0), (-15.0, 8.0, 21.0), expected + 3)
    found = resample(painted, native, source_from_target=template_from_native)
    weights = found.data.astype(np.float64)
    back = native.affine @ np.append(ndimage.center_of_mass(weights), 1)
    assert np.linalg.norm(back[:3] - expected) < 0.3
