from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainad.methods.rasalore.crop import SMALLEST, brain_window, released_window
from brainad.methods.rasalore.grey import gamma_corrected, resize

Load = Callable[[str], dict[str, NDArray[Any]]]

HALF = 127.5


def test_released_loader_is_the_golden_one(golden: Load) -> None:
    case = golden("preprocessing")
    number = 0
    for slice_, weak_map, sam_mask, kept in zip(
        case["slice_u8"], case["ddpt_map_u8"], case["sam_mask_u8"], case["kept"], strict=True
    ):
        weak, segmenter = (resize(mask, *slice_.shape) for mask in (weak_map, sam_mask))
        assert ((weak > HALF).sum() >= 200) == kept
        if not kept:
            continue
        bright = gamma_corrected(slice_)
        window = released_window(bright)
        image = window.cut(bright, 128).astype(int)
        difference = np.abs(image - case["image_128"][number])
        assert difference.max() <= 1
        assert (difference > 0).mean() <= 0.01
        for mask, size, name in (
            (weak, 128, "ddpt_mask_128"),
            (weak, 256, "ddpt_mask_256"),
            (segmenter, 256, "sam_mask_256_aligned"),
        ):
            found = window.cut(mask, size) > HALF
            assert (found != case[name][number]).mean() <= 0.002, name
        number += 1
    assert number == len(case["image_128"]) > 2


def test_small_sections_are_padded_not_cut() -> None:
    slice_ = np.zeros((100, 90), dtype=np.uint8)
    slice_[0:70, 80:90] = 200
    window = brain_window(slice_)
    assert (window.top, window.bottom) == (0, 70)
    assert window.right - window.left == SMALLEST
    assert window.left <= 80
    assert window.right >= 90
    assert window.cut(slice_, 128).max() == 200


def test_a_mask_survives_the_way_there_and_back() -> None:
    rows, columns = np.mgrid[:240, :220]
    brain = ((rows - 120) / 90) ** 2 + ((columns - 105) / 70) ** 2 < 1
    lesion = ((rows - 100) / 25) ** 2 + ((columns - 130) / 15) ** 2 < 1
    window = brain_window(np.where(brain, 200, 0).astype(np.uint8))
    assert (window.top, window.bottom, window.left, window.right) == (31, 210, 36, 175)
    picture = window.cut(np.where(lesion, 255, 0).astype(np.uint8), 256)
    back = window.put_back(torch.from_numpy(picture / np.float32(255)), (240, 220)) > 0.5
    both = (back & lesion).sum()
    assert 2 * both / (back.sum() + lesion.sum()) > 0.95
