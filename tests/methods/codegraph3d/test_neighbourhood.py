from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from brainad.methods.codegraph3d.neighbourhood import box_sum, masked_box_mean
from brainad.methods.codegraph3d.tokens import unit_length

Golden = Callable[[str], dict[str, NDArray[Any]]]


def test_box_sum_matches_the_golden_file(golden: Golden) -> None:
    known = golden("lnamd")
    for grid, expected in zip(known["grid3d"], known["box3_zero_pad"], strict=True):
        mean = box_sum(torch.from_numpy(grid), 3).numpy() / 27
        assert np.abs(mean - expected).max() < 1e-5


def test_masked_mean_matches_the_golden_file(golden: Golden) -> None:
    known = golden("lnamd")
    masks = known["mask3d"].astype(bool)
    for grid, cells, expected in zip(known["grid3d"], masks, known["box3_masked"], strict=True):
        mean = masked_box_mean(torch.from_numpy(grid[cells]), cells, 3).numpy()
        assert np.abs(mean - expected[cells]).max() < 1e-5


@pytest.mark.parametrize("edge", [1, 3, 5])
def test_flat_grids_give_the_published_two_dimensional_aggregation(
    golden: Golden, edge: int
) -> None:
    known = golden("lnamd")
    for layer, images in enumerate(torch.from_numpy(known["feats"])):
        for number, feature in enumerate(images):
            grid = feature[1:].reshape(5, 5, -1)
            normal = torch.nn.functional.layer_norm(grid, grid.shape)
            mean = box_sum(normal[None], edge)[0].reshape(25, -1) / edge**2
            expected = known[f"out_r{edge}"][number, :, layer]
            expected_unit = known[f"out_r{edge}_l2"][number, :, layer]
            assert np.abs(mean.numpy() - expected).max() < 1e-5
            assert np.abs(unit_length(mean).numpy() - expected_unit).max() < 1e-5


def test_a_lonely_cell_keeps_its_feature() -> None:
    cells = np.zeros((4, 4, 4), dtype=bool)
    cells[0, 0, 0] = cells[3, 3, 3] = True
    features = torch.tensor([[1.0, 2.0], [5.0, -3.0]])
    assert torch.equal(masked_box_mean(features, cells, 3), features)
