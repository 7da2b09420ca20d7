from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainad.methods.rasalore.grey import resize
from brainad.methods.rasalore.pseudo_masks import (
    UsualMaps,
    attention_maps,
    cleaned,
    released_map,
    through_plane,
    without_outliers,
)

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_released_maps_are_the_golden_ones(golden: Load) -> None:
    case = golden("ddpt_map")
    for row, expected, mask in zip(
        case["cls_to_patch"], case["map_u8_224"], case["binary_240"], strict=True
    ):
        side = round(row.size**0.5)
        found = released_map(row.reshape(side, side), expected.shape[0])
        difference = np.abs(found.astype(int) - expected)
        assert difference.max() <= 1
        assert (difference > 0).mean() <= 0.01
        drawn = resize(found, *mask.shape) > 127.5
        assert (drawn != (mask > 0)).mean() <= 0.002


def test_maps_reach_from_zero_to_one_at_the_right_place() -> None:
    attention = torch.zeros(2, 4, 6)
    attention[0, 1, 4] = 0.2
    maps = attention_maps(attention, 60, smoothing=0.0)
    assert maps.shape == (2, 40, 60)
    assert maps[0].max() == 1
    assert maps[0, 10:20, 40:50].mean() > 0.5
    assert (maps[1] == 0).all()
    assert (attention_maps(attention, 60, smoothing=1.0) > 0.5).sum() > (maps > 0.5).sum()


def test_what_healthy_slices_of_the_same_height_show_does_not_count() -> None:
    rng = np.random.default_rng(0)
    heights = np.repeat([10.0, 50.0], 20)
    healthy = rng.normal(0, 0.1, (40, 4, 4)).astype(np.float32)
    healthy[20:, 0, 0] += 5  # a sign of the upper height
    usual = UsualMaps(healthy, heights, reach=5.0)
    maps = np.zeros((2, 4, 4), dtype=np.float32)
    maps[:, 0, 0], maps[:, 3, 3] = 5, 1
    low, high = usual.deviations(maps, np.array([12.0, 48.0]))
    assert np.unravel_index(low.argmax(), low.shape) == (0, 0)
    assert np.unravel_index(high.argmax(), high.shape) == (3, 3)
    assert abs(high[0, 0]) < 1


def test_heights_without_healthy_slices_are_compared_with_the_nearest() -> None:
    maps = np.stack([np.zeros((2, 2)), np.ones((2, 2))]).astype(np.float32)
    usual = UsualMaps(maps, np.array([0.0, 10.0]), reach=1.0)
    (far,) = usual.deviations(maps[1:], np.array([1000.0]))
    assert np.allclose(far, 0, atol=1e-3)
    alone = UsualMaps(maps[:1], np.array([0.0]), reach=1.0)
    assert np.isfinite(alone.deviations(maps, np.array([0.0, 5.0]))).all()


def test_neighbouring_slices_of_a_case_outvote_a_single_one() -> None:
    maps = np.zeros((5, 2, 3), dtype=np.float32)
    maps[[0, 1, 3], 0, 0] = 1.0  # a lesion, unseen in the third slice
    maps[2, 1, 2] = 1.2
    maps[4, 1, 1] = 9.0
    heights = np.array([0.0, 4.0, 8.0, 12.0, 8.0])
    averaged = through_plane(maps, np.array([3, 3, 3, 3, 7]), heights, 4.0)
    assert np.unravel_index(averaged[2].argmax(), (2, 3)) == (0, 0)
    np.testing.assert_array_equal(averaged[4], maps[4])
    near = np.exp(-0.5)
    far = np.exp(-2.0)
    expected = (near + near + far) / (1 + near + near + far)
    np.testing.assert_allclose(averaged[2, 0, 0], expected, rtol=1e-5)


def test_long_tokens_are_replaced_by_their_neighbours() -> None:
    attention = torch.full((1, 5, 5), 0.01)
    attention[0, 2, 2] = 0.5
    lengths = torch.linspace(1, 2, 25).reshape(1, 5, 5)
    assert torch.equal(without_outliers(attention, lengths), attention)
    lengths[0, 2, 2] = 40
    assert torch.allclose(without_outliers(attention, lengths), torch.full((1, 5, 5), 0.01))


def test_cleaning_keeps_large_parts_inside_the_brain() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[2:10, 2:10] = mask[15, 15] = True
    brain = np.zeros_like(mask)
    brain[:, 5:] = True
    assert cleaned(mask, None, 0).sum() == 65
    kept = cleaned(mask, brain, 10)
    assert kept.sum() == 40
    assert not kept[:, :5].any()
