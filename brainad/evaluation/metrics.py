"""Metrics of small arrays (patients, slices) and of one pair of masks; exact, ties included."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

Metrics = dict[str, float]


def auroc(truth: NDArray[np.bool_], score: NDArray[Any]) -> float:
    """Return the probability that a positive scores above a negative; ties count one half.

    Args:
        truth: (n,) bool.
        score: (n,) finite, higher is more anomalous.

    Returns:
        Area in [0, 1], NaN if either class is empty.
    """
    if truth.all() or not truth.any():
        return math.nan
    return float(roc_auc_score(truth, score))


def average_precision(truth: NDArray[np.bool_], score: NDArray[Any]) -> float:
    """Return Σ (recall_i − recall_{i−1}) · precision_i over the distinct scores, descending.

    Args:
        truth: (n,) bool.
        score: (n,) finite, higher is more anomalous.

    Returns:
        Average precision in [0, 1] without interpolation, NaN if there is no positive.
    """
    if not truth.any():
        return math.nan
    return float(average_precision_score(truth, score))


def best_f1(truth: NDArray[np.bool_], score: NDArray[Any]) -> float:
    """Return the largest F1 over all thresholds; optimistic, because it is chosen by the truth.

    Args:
        truth: (n,) bool.
        score: (n,) finite, higher is more anomalous.

    Returns:
        F1 in [0, 1], NaN if there is no positive.
    """
    if not truth.any():
        return math.nan
    precision, recall, _ = precision_recall_curve(truth, score)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return float(f1.max())


def ratio(numerator: float, denominator: float) -> float:
    """Divide; NaN where nothing was counted."""
    return numerator / denominator if denominator else math.nan


@dataclass(frozen=True)
class Confusion:
    """Counts of a yes-no decision against the truth."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN); NaN if truth and prediction are both empty."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN); NaN if truth and prediction are both empty."""
        return ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN); NaN without positives."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP); NaN without negatives."""
        return ratio(self.tn, self.tn + self.fp)


def confusion(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Confusion:
    """Count agreements and disagreements of two bool arrays of one shape.

    Raises:
        ValueError: the shapes differ.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth {truth.shape} and prediction {predicted.shape} differ in shape")
    n_ref, n_pred = int(np.count_nonzero(truth)), int(np.count_nonzero(predicted))
    tp = int(np.count_nonzero(truth & predicted))
    return Confusion(tp, n_pred - tp, n_ref - tp, truth.size - n_ref - n_pred + tp)


def decision_metrics(truth: NDArray[np.bool_], score: NDArray[Any], threshold: float) -> Metrics:
    """Return AUROC, AUPRC and, for score ≥ threshold, sensitivity, specificity and F1.

    Args:
        truth: (n,) bool, one entry per patient or slice.
        score: (n,) finite.
        threshold: decision threshold on the scale of `score`.
    """
    counts = confusion(truth, score >= threshold)
    return {
        "AUROC": auroc(truth, score),
        "AUPRC": average_precision(truth, score),
        "sensitivity": counts.sensitivity,
        "specificity": counts.specificity,
        "F1": counts.dice,
    }


def bootstrap_ci95(
    truth: NDArray[np.bool_], score: NDArray[Any], threshold: float, seed: int, resamples: int
) -> dict[str, tuple[float, float]]:
    """Return 95 % percentile intervals of `decision_metrics` over resampled patients.

    Healthy and unhealthy patients are drawn separately (stratified bootstrap; Efron and
    Tibshirani 1993), so that every resample has both classes and every metric stays defined.

    Args:
        truth: (n,) bool, one entry per patient.
        score: (n,) finite.
        threshold: decision threshold on the scale of `score`.
        seed: same seed, same intervals.
        resamples: number of resamples.

    Returns:
        Metric name to (low, high); empty unless both classes are present.
    """
    if truth.all() or not truth.any():
        return {}
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(truth), np.flatnonzero(~truth)]
    draws = []
    for _ in range(resamples):
        drawn = np.concatenate([rng.choice(group, group.size) for group in groups])
        draws.append(decision_metrics(truth[drawn], score[drawn], threshold))
    intervals = {}
    for name in draws[0]:
        low, high = np.quantile([draw[name] for draw in draws], (0.025, 0.975))
        intervals[name] = (float(low), float(high))
    return intervals
