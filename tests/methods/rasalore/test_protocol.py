from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.methods.rasalore.protocol import published_label, published_slices, published_split

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_slices_and_labels_are_the_golden_ones(golden: Load) -> None:
    case = golden("slice_extraction")
    lesion = case["segmentation"] > 0
    assert list(published_slices(lesion.shape[2])) == case["slice_index"].tolist()
    labels = [published_label(lesion[:, :, index]) for index in case["slice_index"]]
    assert labels == case["slice_label"].tolist()
    for index, label, mask in zip(case["slice_index"], labels, case["slice_mask_u8"], strict=True):
        if label != -1:
            assert np.array_equal(np.where(lesion[:, :, index], 255, 0), mask)


def test_the_split_is_the_golden_one(golden: Load) -> None:
    case = golden("slice_extraction")
    names = [f"P{number:04d}" for number in range(int(case["split_n"]))]
    training = set(published_split(names[::-1]))
    assert [name in training for name in names] == case["split_train_member"].tolist()
