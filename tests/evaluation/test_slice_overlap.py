from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from brainad.evaluation.metrics import auroc
from brainad.evaluation.slice_overlap import SliceOverlap, slice_dice

_GOLDEN = Path(__file__).parents[1] / "golden" / "medsad_clip" / "metrics.npz"


def test_metrics_match_the_golden_file() -> None:
    with np.load(_GOLDEN, allow_pickle=False) as arrays:
        known = dict(arrays)
    truth, predicted = known["gt"] > 0, known["prob"] >= 0.5
    sums = [each.sum((1, 2)) for each in (truth & predicted, truth, predicted)]
    assert np.abs(slice_dice(*sums) - known["dice_per_image"]).max() < 1e-6
    overlap = SliceOverlap()
    for half in (slice(0, 3), slice(3, None)):
        overlap.add(truth[half], predicted[half], 0, np.ones(len(truth[half]), dtype=bool))
    found = overlap.metrics()
    assert found["Dice_all_slices"] == pytest.approx(float(known["dice_paper_style"]), abs=1e-6)
    assert found["Dice_lesion_slices"] == pytest.approx(float(known["dice_lesion_only"]), abs=1e-6)
    assert found["Dice_pooled"] == pytest.approx(float(known["dice_pooled"]), abs=1e-6)
    empty = float(known["dice_all_empty_predictor"])
    assert found["Dice_all_slices_if_nothing_is_found"] == pytest.approx(empty, abs=1e-6)
    assert auroc(truth.ravel(), known["prob"].ravel()) == pytest.approx(
        float(known["pixel_auroc"]), abs=1e-6
    )
    label = known["label"] == 1
    assert auroc(label, known["image_score"]) == pytest.approx(float(known["image_auroc"]))
    correct = (known["image_score"] >= 0.5) == label
    assert correct.mean() == pytest.approx(float(known["accuracy"]))


def test_finding_nothing_scores_the_share_of_normal_slices() -> None:
    truth = np.zeros((4, 4, 10), dtype=bool)
    truth[1:3, 1:3, 2:5] = True
    overlap = SliceOverlap()
    overlap.add(truth, np.zeros_like(truth), 2, np.ones(10, dtype=bool))
    found = overlap.metrics()
    assert found["Dice_all_slices"] == found["Dice_all_slices_if_nothing_is_found"] == 0.7
    assert found["Dice_lesion_slices"] == found["Dice_pooled"] == 0.0


def test_slices_that_are_not_counted_do_not_matter() -> None:
    truth = np.zeros((4, 4, 10), dtype=bool)
    truth[1:3, 1:3, 2:5] = True
    overlap = SliceOverlap()
    overlap.add(truth, truth, 2, np.arange(10) < 6)
    assert overlap.metrics()["Dice_all_slices_if_nothing_is_found"] == 0.5
    assert overlap.metrics()["Dice_all_slices"] == 1.0


def test_without_slices_nothing_is_defined() -> None:
    assert all(math.isnan(value) for value in SliceOverlap().metrics().values())
