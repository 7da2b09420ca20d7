from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.methods.rasalore.grey import fixed_range, full_range, gamma_corrected

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_slices_are_scaled_like_the_golden_ones(golden: Load) -> None:
    case = golden("slice_extraction")
    used = case["slice_label"] >= 0
    indices, images = case["slice_index"][used], case["slice_image_u8"][used]
    for index, expected in zip(indices, images, strict=True):
        found = full_range(case["volume"][:, :, index])
        assert np.abs(found.astype(int) - expected).max() <= 1
        assert (found != expected).mean() <= 0.01


def test_gamma_darkens_the_dark() -> None:
    levels = np.arange(256, dtype=np.uint8)
    bright = gamma_corrected(levels)
    assert (bright[:16] == 0).all()
    assert (bright[16:] > 0).all()
    assert bright[255] == 255
    assert bright[128] == int(255 * (128 / 255) ** 2)


def test_prepared_values_keep_their_scale() -> None:
    values = np.array([-0.5, 0.0, 0.5, 1.0, 2.0], dtype=np.float32)
    assert fixed_range(values).tolist() == [0, 0, 127, 255, 255]
