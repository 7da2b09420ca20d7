from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.methods.codegraph3d.maps import anomaly_map, score_grid, upsample

Golden = Callable[[str], dict[str, NDArray[Any]]]


def fused(known: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = known["layer_scores"].mean(0)
    assert np.allclose(mean, known["mean_scores"])
    return mean


@pytest.mark.parametrize(
    ("aligned_corners", "key", "final"),
    [(False, "up_false", "final_false"), (True, "up_true", "final_true")],
)
def test_interpolation_matches_the_golden_file(
    golden: Golden, aligned_corners: bool, key: str, final: str
) -> None:
    known = golden("upsample")
    found = upsample(fused(known), int(known["p"]), aligned_corners)
    assert np.abs(found - known[key]).max() < 1e-6
    assert np.abs(found * known["voxel_mask"] - known[final]).max() < 1e-6


def test_the_map_matches_the_golden_file(golden: Golden) -> None:
    known = golden("upsample")
    cells, brain = known["token_mask"].astype(bool), known["voxel_mask"].astype(bool)
    grid = score_grid(fused(known)[cells], cells)
    weight = upsample(cells.astype(np.float64), int(known["p"]))
    assert np.abs(weight - known["weight_false"]).max() < 1e-6
    found = anomaly_map(grid, cells, brain)
    assert found.dtype == np.float32
    assert np.abs(found - known["final_masked"]).max() < 1e-6
    everywhere = anomaly_map(grid, cells, np.ones_like(brain))
    assert np.abs(everywhere - known["up_masked"]).max() < 1e-6


def test_interpolation_equals_the_naive_one_on_an_uneven_grid() -> None:
    grid = np.random.default_rng(1).normal(size=(2, 3, 4))
    expected = np.zeros((6, 9, 12))
    for voxel in np.ndindex(*expected.shape):
        source = [
            min(max((i + 0.5) / 3 - 0.5, 0), n - 1) for i, n in zip(voxel, grid.shape, strict=True)
        ]
        for cell in np.ndindex(*grid.shape):
            weight = np.prod([max(0, 1 - abs(s - c)) for s, c in zip(source, cell, strict=True)])
            expected[voxel] += weight * grid[cell]
    assert np.abs(upsample(grid, 3) - expected).max() < 1e-12


def test_empty_cells_do_not_dilute_the_edge() -> None:
    cells = np.zeros((3, 3, 3), dtype=bool)
    cells[1] = True
    brain = np.repeat(np.repeat(np.repeat(cells, 4, 0), 4, 1), 4, 2)
    found = anomaly_map(score_grid(np.full(9, 2.5), cells), cells, brain)
    assert np.allclose(found[brain], 2.5)
    assert not found[~brain].any()


def test_scores_are_put_on_their_cells() -> None:
    cells = np.zeros((2, 2, 2), dtype=bool)
    cells[0, 1, 1] = cells[1, 0, 0] = True
    grid = score_grid(np.array([3.0, 4.0]), cells)
    assert grid[0, 1, 1] == 3
    assert grid[1, 0, 0] == 4
    assert grid.sum() == 7
