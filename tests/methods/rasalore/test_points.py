from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainad.methods.rasalore.points import active_points, point_grid

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_points_and_their_mask_are_the_golden_ones(golden: Load) -> None:
    case = golden("point_mask")
    side = round(len(case["points"]) ** 0.5)
    masks = torch.from_numpy(case["mask"])
    assert np.array_equal(point_grid(side, masks.shape[-1]), case["points"])
    found = active_points(masks, side)
    assert np.array_equal(found.numpy(), case["point_mask"])
    assert np.array_equal(found.unflatten(1, (side, side)).numpy(), case["point_mask_grid"])


def test_rows_come_first() -> None:
    mask = torch.zeros(1, 128, 128)
    mask[0, :64, 64:] = 1
    active = active_points(mask, 32).reshape(32, 32).bool()
    expected = torch.zeros(32, 32, dtype=torch.bool)
    expected[:16, 16:] = True
    assert torch.equal(active, expected)
