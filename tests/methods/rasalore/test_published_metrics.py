from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from brainad.methods.rasalore.crop import released_window
from brainad.methods.rasalore.grey import gamma_corrected
from brainad.methods.rasalore.published_metrics import (
    hard_dice,
    mean_metrics,
    released_target,
    slice_metrics,
)

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_metrics_are_the_golden_ones(golden: Load) -> None:
    case = golden("metrics")
    targets = case["target"] > 0
    slices = [slice_metrics(*pair) for pair in zip(case["prob"], targets, strict=True)]
    np.testing.assert_allclose([astuple(s) for s in slices], case["per_slice"], atol=1e-6)
    np.testing.assert_allclose(astuple(mean_metrics(slices)), case["mean_over_slices"], atol=1e-6)
    dice = [hard_dice(*pair) for pair in zip(case["prob"], targets, strict=True)]
    np.testing.assert_allclose(dice, case["hard_dice"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.mean(dice), case["mean_hard_dice"], rtol=1e-5)
    pooled = average_precision_score(targets[:3].ravel(), case["prob"][:3].ravel())
    np.testing.assert_allclose(pooled, case["pooled_auprc_first3"], atol=1e-9)


def test_targets_are_dilated_like_the_golden_ones(golden: Load) -> None:
    case = golden("metrics")
    assert case["gt_128"].any()
    for small, expected in zip(case["gt_128"], case["gt_256_released"], strict=True):
        lesion = np.where(small > 0, np.uint8(255), np.uint8(0))
        whole = released_window(np.full((129, 129), 255, dtype=np.uint8))
        found = released_target(lesion, whole, 256)
        assert (found != (expected > 0)).mean() <= 0.002
        assert found.sum() > 4 * (small > 0).sum()
        assert gamma_corrected(lesion).any()
