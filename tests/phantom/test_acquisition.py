from __future__ import annotations

import numpy as np
import pytest

from brainad.phantom.acquisition import (
    Scan,
    average,
    field_of_view,
    reorient,
    sample_scan,
    subdivide,
)
from brainad.phantom.options import PhantomOptions
from brainad.resampling import ras_grid, resample
from brainad.volume import Volume, centred_grid


def test_scan_stays_upright_unless_asked() -> None:
    assert sample_scan(PhantomOptions(), np.random.default_rng(0)) == Scan()


def test_scans_cover_axis_orders_and_flips() -> None:
    options = PhantomOptions(random_orientation=True, oblique_degrees=10)
    scans = [sample_scan(options, np.random.default_rng(seed)) for seed in range(40)]
    assert len({scan.axes for scan in scans}) == 6
    assert len({scan.flips for scan in scans}) == 8
    angles = np.abs([scan.oblique_degrees for scan in scans])
    assert 5 < angles.max() <= 10


@pytest.mark.parametrize("tilt", [(0.0, 0.0, 0.0), (10.0, -15.0, 5.0)])
def test_field_of_view_holds_every_point_with_its_margin(tilt: tuple[float, float, float]) -> None:
    points = np.random.default_rng(1).uniform(-50, 70, (3, 100))
    grid = field_of_view(points, Scan(tilt), (1.0, 2.0, 4.0), margin_mm=6.0)
    index = np.linalg.inv(grid.affine) @ np.vstack([points, np.ones(100)])
    room = (index[:3].min(axis=1) + 0.5) * grid.spacing_mm
    assert np.allclose(room, 6)
    rest = (np.array(grid.shape) - 0.5 - index[:3].max(axis=1)) * grid.spacing_mm
    assert (rest >= 6 - 1e-9).all() and (rest < 6 + np.array(grid.spacing_mm)).all()
    assert grid.spacing_mm == pytest.approx((1, 2, 4))


def test_thick_slices_average_their_parts() -> None:
    grid = centred_grid((2, 2, 3), 4.0, np.array([1.0, 2.0, 3.0]))
    fine = subdivide(grid, (1, 2, 4))
    assert fine.shape == (2, 4, 12)
    assert fine.spacing_mm == (4.0, 2.0, 1.0)
    assert np.allclose(fine.centre_mm, grid.centre_mm)
    values = np.arange(96, dtype=np.float32).reshape(fine.shape)
    coarse = average(values, (1, 2, 4))
    assert coarse.shape == grid.shape
    assert coarse[1, 1, 2] == values[1, 2:4, 8:12].mean()


def test_reorienting_keeps_every_voxel_in_its_place() -> None:
    grid = centred_grid((3, 4, 5), 2.0, np.array([5.0, -6.0, 7.0]))
    data = np.arange(60, dtype=np.float32).reshape(grid.shape)
    turned = reorient(Volume(data, grid), Scan(axes=(2, 0, 1), flips=(-1, 1, -1)))
    assert turned.data.shape == (5, 3, 4)
    assert not turned.grid.matches(grid)
    assert turned.grid.affine[2, 0] == -2 and turned.grid.affine[0, 1] == -2
    back = resample(turned, ras_grid(turned.grid))
    assert back.grid.matches(grid)
    assert np.array_equal(back.data, data)
