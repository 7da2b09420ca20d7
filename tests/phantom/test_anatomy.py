from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.phantom.acquisition import subdivide
from brainad.phantom.anatomy import (
    MassEffect,
    Pose,
    make_warp,
    native_positions,
    sample_pose,
    template_positions,
)
from brainad.volume import Grid, centred_grid

STILL = make_warp(0.0, np.random.default_rng(0))


def jacobian(positions: NDArray[np.floating], edge_mm: float) -> NDArray[np.float64]:
    gradients = [np.stack(np.gradient(part.astype(float), edge_mm)) for part in positions]
    determinant: NDArray[np.float64] = np.linalg.det(
        np.moveaxis(np.stack(gradients), (0, 1), (-2, -1))
    )
    return determinant


@pytest.fixture
def grid() -> Grid:
    return centred_grid((33, 40, 35), 4.0, np.array([0.0, -18.0, 10.0]))


def test_pose_is_drawn_within_its_limits() -> None:
    for seed in range(20):
        pose = sample_pose(np.random.default_rng(seed))
        assert max(abs(angle) for angle in pose.rotation_degrees) <= 8
        assert 0.93 <= min(pose.scale) <= max(pose.scale) <= 1.07
        volume = np.linalg.det(pose.native_from_template[:3, :3])
        assert volume == pytest.approx(np.prod(pose.scale))


def test_nothing_moves_without_pose_and_warp(grid: Grid) -> None:
    positions = template_positions(grid, Pose(), STILL)
    assert np.allclose(positions, native_positions(grid), atol=1e-4)
    assert np.allclose(jacobian(positions, 4.0), 1, atol=1e-4)


def test_native_positions_follow_the_affine() -> None:
    affine = np.array([[0, -2, 0, 5], [1, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1.0]])
    positions = native_positions(Grid((2, 3, 4), affine))
    assert np.array_equal(positions[:, 1, 2, 3], (affine @ [1, 2, 3, 1])[:3])


def test_pose_alone_is_its_inverse_matrix(grid: Grid) -> None:
    pose = Pose((5.0, -3.0, 2.0), (1.05, 0.95, 1.0), (4.0, -2.0, 1.0))
    positions = template_positions(grid, pose, STILL)
    back = np.linalg.inv(pose.native_from_template) @ grid.affine @ [7, 8, 9, 1]
    assert np.allclose(positions[:, 7, 8, 9], back[:3], atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_the_strongest_warp_never_folds(grid: Grid, seed: int) -> None:
    warp = make_warp(5.0, np.random.default_rng(seed))
    positions = template_positions(grid, Pose(), warp)
    determinant = jacobian(positions, 4.0)
    assert 0.3 < determinant.min() < 0.9 and 1.1 < determinant.max() < 3
    moved = np.sqrt(((positions - native_positions(grid)) ** 2).sum(axis=0).mean())
    assert 3 < moved < 7


def test_anatomy_does_not_depend_on_the_spacing(grid: Grid) -> None:
    warp = make_warp(3.0, np.random.default_rng(1))
    coarse = template_positions(grid, Pose(), warp)
    fine = template_positions(subdivide(grid, (3, 3, 3)), Pose(), warp)
    assert np.abs(fine[:, 1::3, 1::3, 1::3] - coarse).max() < 0.3


def test_inverted_warp_leads_back() -> None:
    warp = make_warp(5.0, np.random.default_rng(2))
    points = np.random.default_rng(3).uniform(-60, 60, (3, 50))
    assert np.allclose(warp.apply(warp.invert(points)), points, atol=0.01)


def test_warp_makes_the_symmetric_template_asymmetric(grid: Grid) -> None:
    positions = template_positions(grid, Pose(), make_warp(3.0, np.random.default_rng(4)))
    mirrored = positions[:, ::-1] * np.array([-1.0, 1, 1]).reshape(3, 1, 1, 1)
    assert np.abs(positions - mirrored).max() > 2


def test_mass_effect_pushes_tissue_outwards_without_folding() -> None:
    grid = centred_grid((61, 61, 61), 1.0, np.zeros(3))
    push = MassEffect((0.0, 0.0, 0.0), radius_mm=10.0, push_mm=3.3)
    positions = template_positions(grid, Pose(), STILL, [push])
    # What is seen 10 mm to the right of the centre was 3.3 mm closer before the push.
    assert positions[0, 40, 30, 30] == pytest.approx(6.7, abs=1e-3)
    assert positions[0, 60, 30, 30] == pytest.approx(30, abs=0.2)
    assert np.allclose(positions[:, 30, 30, 30], 0, atol=1e-4)
    assert jacobian(positions, 1.0).min() > 0.05
