from __future__ import annotations

import numpy as np
import pytest

from brainad.phantom.template import block_mean, coarser_grid, load_tissue_maps, sample_map
from brainad.volume import Grid, centred_grid


def test_tissue_maps_are_read_only_fractions_in_mni_space() -> None:
    maps = load_tissue_maps(4)
    for values in (maps.brain, maps.grey, maps.white, maps.parenchyma):
        assert values.shape == maps.grid.shape and values.dtype == np.float32
        assert values.min() >= 0 and values.max() <= 1
        assert not values.flags.writeable
    assert (maps.grey + maps.white <= maps.brain + 1e-6).all()
    assert maps.grid.spacing_mm == (4.0, 4.0, 4.0)


def test_maps_know_white_matter_ventricle_and_background() -> None:
    maps = load_tissue_maps(1)
    centrum_semiovale, lateral_ventricle, outside = [-25, -20, 35], [-6, 12, 11], [90, 90, 90]
    points = np.array([centrum_semiovale, lateral_ventricle, outside], dtype=float).T
    assert sample_map(maps.white, maps.grid, points)[0] > 0.9
    assert sample_map(maps.parenchyma, maps.grid, points)[1] < 0.1
    assert sample_map(maps.brain, maps.grid, points) == pytest.approx([1, 1, 0])


def test_block_mean_keeps_the_place_and_the_sum() -> None:
    grid = centred_grid((5, 4, 6), 1.0, np.array([3.0, -2.0, 7.0]))
    values = np.zeros(grid.shape, dtype=np.float32)
    values[2:4, 2:4, 4:6] = 8
    coarse, merged = block_mean(values, 2), coarser_grid(grid, 2)
    assert coarse.shape == merged.shape == (3, 2, 3)
    assert coarse[1, 1, 2] == 8 and coarse.sum() == 8
    expected = grid.affine @ [2.5, 2.5, 4.5, 1]
    assert np.allclose(merged.affine @ [1, 1, 2, 1], expected)


def test_sample_map_interpolates_and_is_zero_outside() -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    values = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    points = np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 0.0], [-9.0, 0.0, 0.0]]).T
    assert sample_map(values, Grid((2, 2, 2), affine), points).tolist() == [3.5, 4.0, 0.0]
