import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.evaluation.metrics import (
    auroc,
    average_precision,
    bootstrap_ci95,
    confusion,
    decision_metrics,
)

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "codegraph3d" / "metrics.npz")


def slow_auroc(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Compare every positive with every negative."""
    pairs = [(p > n) + 0.5 * (p == n) for p in score[truth] for n in score[~truth]]
    return float(np.mean(pairs))


def slow_average_precision(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Walk down the distinct scores."""
    total, recall = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        found = truth[score >= threshold]
        new_recall = found.sum() / truth.sum()
        total += (new_recall - recall) * found.mean()
        recall = new_recall
    return total


@pytest.mark.parametrize("seed", range(5))
def test_areas_agree_with_the_definition_when_scores_tie(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(40) < 0.3
    score = rng.integers(0, 6, 40) / 4.0
    assert auroc(truth, score) == pytest.approx(slow_auroc(truth, score), abs=1e-12)
    assert average_precision(truth, score) == pytest.approx(
        slow_average_precision(truth, score), abs=1e-12
    )


def test_patient_level_agrees_with_the_reference() -> None:
    truth, score = GOLDEN["patient_label"] > 0, GOLDEN["patient_score"]
    assert auroc(truth, score) == pytest.approx(float(GOLDEN["patient_auroc"]), abs=1e-6)
    assert average_precision(truth, score) == pytest.approx(float(GOLDEN["patient_ap"]), abs=1e-6)


def test_one_class_alone_has_no_area() -> None:
    score = np.array([0.1, 0.2])
    assert math.isnan(auroc(np.array([True, True]), score))
    assert math.isnan(auroc(np.array([False, False]), score))
    assert math.isnan(average_precision(np.array([False, False]), score))
    assert math.isnan(auroc(np.zeros(0, dtype=bool), np.zeros(0)))


def test_confusion_counts_every_voxel_once() -> None:
    truth = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], dtype=bool)
    predicted = np.array([[1, 1, 0, 1], [0, 0, 0, 0]], dtype=bool)
    counts = confusion(truth, predicted)
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (2, 1, 1, 4)
    assert counts.dice == 4 / 6
    assert counts.iou == 2 / 4
    assert counts.sensitivity == 2 / 3
    assert counts.specificity == 4 / 5


def test_an_empty_truth_scores_zero_with_false_positives_and_nothing_without() -> None:
    empty, full = np.zeros(4, dtype=bool), np.ones(4, dtype=bool)
    assert confusion(empty, full).dice == 0
    assert math.isnan(confusion(empty, empty).dice)
    assert math.isnan(confusion(empty, empty).iou)


def test_masks_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        confusion(np.zeros((2, 3), dtype=bool), np.zeros((3, 2), dtype=bool))


def test_a_score_at_the_threshold_is_called_anomalous() -> None:
    metrics = decision_metrics(np.array([True, False]), np.array([0.5, 0.4]), 0.5)
    assert metrics["sensitivity"] == metrics["specificity"] == metrics["F1"] == 1


def test_bootstrap_is_reproducible_and_encloses_the_estimate() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(30) % 3 == 0
    score = rng.random(30) + 0.4 * truth
    intervals = bootstrap_ci95(truth, score, 0.7, seed=3, resamples=50)
    assert intervals == bootstrap_ci95(truth, score, 0.7, seed=3, resamples=50)
    assert intervals != bootstrap_ci95(truth, score, 0.7, seed=4, resamples=50)
    for name, estimate in decision_metrics(truth, score, 0.7).items():
        low, high = intervals[name]
        assert 0 <= low < high <= 1
        assert low <= estimate <= high


def test_bootstrap_says_nothing_about_a_cohort_of_one_class() -> None:
    assert bootstrap_ci95(np.zeros(3, dtype=bool), np.zeros(3), 0.5, seed=0, resamples=5) == {}
