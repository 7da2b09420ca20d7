from __future__ import annotations

import numpy as np
import pytest

from brainad.volume import Grid, Volume, centred_grid


def _grid() -> Grid:
    """Build an LAS grid of 2 x 3 x 4 mm voxels."""
    affine = np.diag([-2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = (10.0, 20.0, 30.0)
    return Grid((5, 6, 7), affine)


def test_grid_measures() -> None:
    grid = _grid()
    assert grid.spacing_mm == (2.0, 3.0, 4.0)
    assert grid.voxel_mm3 == pytest.approx(24.0)
    assert grid.extent_mm == (10.0, 18.0, 28.0)
    assert grid.centre_mm.tolist() == [6.0, 27.5, 42.0]


def test_corners_are_the_outermost_voxel_centres() -> None:
    corners = _grid().corners_mm()
    assert corners.shape == (8, 3)
    assert corners.min(axis=0).tolist() == [2.0, 20.0, 30.0]
    assert corners.max(axis=0).tolist() == [10.0, 35.0, 54.0]


def test_grids_match_within_the_tolerance_only() -> None:
    grid = _grid()
    shifted = grid.affine.copy()
    shifted[0, 3] += 0.02
    other = Grid(grid.shape, shifted)
    assert grid.corner_distance_mm(other) == pytest.approx(0.02)
    assert grid.matches(other, tolerance_mm=0.03)
    assert not grid.matches(other)


def test_grids_of_different_shape_never_match() -> None:
    grid = _grid()
    assert grid.corner_distance_mm(Grid((5, 6, 8), grid.affine)) == float("inf")


def test_the_affine_is_a_frozen_copy() -> None:
    affine = np.eye(4)
    grid = Grid((2, 2, 2), affine)
    affine[0, 3] = 7.0
    assert grid.affine[0, 3] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 3] = 1.0


@pytest.mark.parametrize(
    ("shape", "affine", "message"),
    [
        ((2, 2, 2), np.eye(3), "4 x 4"),
        ((2, 2, 2), np.diag([1.0, np.nan, 1.0, 1.0]), "finite"),
        ((2, 2, 2), np.diag([1.0, 0.0, 1.0, 1.0]), "singular"),
        ((2, 0, 2), np.eye(4), "positive"),
    ],
)
def test_impossible_grids_are_refused(
    shape: tuple[int, int, int], affine: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Grid(shape, affine)


def test_centred_grid() -> None:
    grid = centred_grid((4, 5, 6), 2.0, np.array([1.0, -2.0, 3.0]))
    assert grid.centre_mm.tolist() == [1.0, -2.0, 3.0]
    assert grid.spacing_mm == (2.0, 2.0, 2.0)
    assert grid.affine[:3, 3].tolist() == [-2.0, -6.0, -2.0]


def test_volume_must_fit_its_grid() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Volume(np.zeros((5, 6, 8), dtype=np.float32), _grid())
