import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from brainad.case import Placement
from brainad.inference.restore import restore, restore_slice_scores
from brainad.volume import Grid, Volume, centred_grid


def world_positions(grid: Grid) -> NDArray[np.float64]:
    """Return (x, y, z, 3) world mm of every voxel centre."""
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    world: NDArray[np.float64] = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return world


def oblique_grid() -> Grid:
    """A left-handed, oblique, anisotropic grid of 0.9 x 0.9 x 4 mm."""
    turn = Rotation.from_euler("xyz", [12, -17, 25], degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-0.9, 0.9, 4.0])
    shape = (150, 160, 32)
    centre = np.array([31.0, -22.0, 14.0])
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def oblique_placement(spacing_mm: float = 2.0) -> Placement:
    native = oblique_grid()
    working_from_native = np.eye(4)
    working_from_native[:3, :3] = (
        Rotation.from_euler("xyz", [-8, 5, 14], degrees=True).as_matrix() * 1.07
    )
    working_from_native[:3, 3] = -working_from_native[:3, :3] @ native.centre_mm + [2.0, -3.0, 1.0]
    size = round(120 / spacing_mm)
    working = centred_grid((size, size, size), spacing_mm, np.zeros(3))
    return Placement(native, working, working_from_native)


def test_a_sphere_comes_home_to_an_oblique_thick_slice_grid() -> None:
    placement = oblique_placement(spacing_mm=1.0)
    centre_working = np.array([14.0, -9.0, 11.0])
    distance = np.linalg.norm(world_positions(placement.working) - centre_working, axis=-1)
    brain = np.linalg.norm(world_positions(placement.working), axis=-1) < 55
    sphere = Volume(np.where(brain & (distance <= 10), 1, 0).astype(np.float32), placement.working)
    home = restore(sphere, placement, brain)
    native_from_working = np.linalg.inv(placement.working_from_native)
    expected = native_from_working[:3, :3] @ centre_working + native_from_working[:3, 3]
    inside = home.data >= 0.5
    found = world_positions(placement.native)[inside].mean(axis=0)
    assert np.linalg.norm(found - expected) < 1.0
    volume_mm3 = inside.sum() * placement.native.voxel_mm3
    assert volume_mm3 == pytest.approx(4 / 3 * np.pi * 10**3 / 1.07**3, rel=0.1)


def test_a_constant_map_stays_constant_up_to_the_brain_surface() -> None:
    placement = oblique_placement()
    brain = np.linalg.norm(world_positions(placement.working), axis=-1) < 40
    constant = Volume(np.where(brain, 0.7, 0).astype(np.float32), placement.working)
    home = restore(constant, placement, brain)
    inside = home.data > 0
    assert inside.any()
    np.testing.assert_allclose(home.data[inside], 0.7, atol=1e-5)
    assert home.data.dtype == np.float32
    assert home.grid is placement.native


def test_home_brain_is_the_nearest_neighbour_brain() -> None:
    placement = oblique_placement()
    positions = world_positions(placement.native)
    world = placement.working_from_native
    in_working = positions @ world[:3, :3].T + world[:3, 3]
    brain = np.linalg.norm(world_positions(placement.working), axis=-1) < 40
    home = restore(Volume(brain.astype(np.float32), placement.working), placement, brain)
    index = np.round((in_working - placement.working.affine[:3, 3]) / 2).astype(int)
    within = ((index >= 0) & (index < 60)).all(axis=-1)
    expected = np.zeros(placement.native.shape, dtype=bool)
    expected[within] = brain[tuple(index[within].T)]
    # Voxel centres half-way between two working voxels may fall to either side.
    assert np.mean((home.data > 0) != expected) < 1e-4


def test_inputs_are_left_alone() -> None:
    placement = oblique_placement()
    brain = np.ones(placement.working.shape, dtype=bool)
    data = np.ones(brain.shape, dtype=np.float32)
    brain.flags.writeable = data.flags.writeable = False
    restore(Volume(data, placement.working), placement, brain)
    assert data.all()


def test_slice_scores_do_not_leak_from_outside_the_brain() -> None:
    placement = oblique_placement()
    brain = np.linalg.norm(world_positions(placement.working), axis=-1) < 40
    scores = np.full(placement.working.shape[1], 0.7, dtype=np.float32)
    home = restore_slice_scores(scores, 1, placement, brain)
    np.testing.assert_allclose(home.data[home.data > 0], 0.7, atol=1e-5)


def test_same_grid_is_exact() -> None:
    grid = centred_grid((4, 5, 6), 1.0, np.zeros(3))
    data = np.random.default_rng(0).random(grid.shape).astype(np.float32)
    brain = data > 0.5
    placement = Placement(grid, grid, np.eye(4))
    home = restore(Volume(np.where(brain, data, 0).astype(np.float32), grid), placement, brain)
    assert np.array_equal(home.data, np.where(brain, data, 0))


def test_slice_scores_land_on_the_slices_they_came_from() -> None:
    working = centred_grid((4, 4, 6), 1.0, np.zeros(3))
    flip = working.affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 5], [0, 0, 0, 1.0]])
    placement = Placement(Grid(working.shape, flip), working, np.eye(4))
    scores = np.arange(1, 7, dtype=np.float32)
    brain = np.ones(working.shape, dtype=bool)
    brain[0] = False
    home = restore_slice_scores(scores, 2, placement, brain)
    assert np.array_equal(home.data.max(axis=(0, 1)), scores[::-1])
    assert not home.data[0].any()
