"""Voxel metrics of any number of volumes in constant memory, from histograms of the scores.

Scores in [0, 1] are put into 65,536 levels of equal width. A level is a power of two fraction,
so "score ≥ k / 65536" and "level ≥ k" are the same decision, and every curve below is exact for
the quantised scores (codegraph3d specification, section 5.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 65_536
Curve = NDArray[np.float64]


def quantise(score: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the level 0 … 65535 of every score.

    Raises:
        ValueError: a score lies outside [0, 1] or is NaN.
    """
    if score.size and not (score.min() >= 0 and score.max() <= 1):
        raise ValueError(f"scores must lie in [0, 1], not {score.min()} … {score.max()}")
    return np.minimum(score * np.float32(LEVELS), LEVELS - 1).astype(np.uint16)


def threshold_of(level: int) -> float:
    """Return the threshold whose decision "score ≥ threshold" is "at or above this level"."""
    return level / LEVELS


def at_or_above(histogram: NDArray[Any]) -> NDArray[Any]:
    """Sum a (levels,) histogram from the highest level down."""
    total: NDArray[Any] = np.cumsum(histogram[::-1])[::-1]
    return total


def best_level(curve: Curve) -> int:
    """Return the level of the largest value; of equal ones the highest level."""
    return LEVELS - 1 - int(np.argmax(curve[::-1]))


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
    """Voxel counts per score level.

    Args:
        positive: (levels,) int64, lesion voxels.
        negative: (levels,) int64, other voxels.
        missed: lesion voxels without a prediction: no threshold finds them.
    """

    positive: NDArray[np.int64]
    negative: NDArray[np.int64]
    missed: int = 0

    @classmethod
    def of(cls, level: NDArray[np.uint16], truth: NDArray[np.bool_]) -> ScoreHistogram:
        """Count levels of lesion voxels and of others; both arrays have one shape."""
        positive = np.bincount(level[truth], minlength=LEVELS).astype(np.int64)
        everything = np.bincount(level.ravel(), minlength=LEVELS).astype(np.int64)
        return cls(positive, everything - positive)

    @classmethod
    def empty(cls, missed: int = 0) -> ScoreHistogram:
        """Return a histogram without scored voxels."""
        zeros = np.zeros(LEVELS, dtype=np.int64)
        return cls(zeros, zeros, missed)

    def __add__(self, other: ScoreHistogram) -> ScoreHistogram:
        """Pool the voxels of both."""
        return ScoreHistogram(
            self.positive + other.positive,
            self.negative + other.negative,
            self.missed + other.missed,
        )

    @property
    def n_positive(self) -> int:
        """Number of lesion voxels, missed ones included."""
        return int(self.positive.sum()) + self.missed

    def auroc(self) -> float:
        """Return the Mann-Whitney area, ties one half; NaN if either class is empty."""
        n_negative = int(self.negative.sum())
        if not (self.n_positive and n_negative):
            return math.nan
        below = np.cumsum(self.negative) - self.negative
        wins = float(np.sum(self.positive * (below + self.negative / 2)))
        return wins / self.n_positive / n_negative

    def average_precision(self) -> float:
        """Return Σ Δrecall · precision over the levels; NaN without lesion voxels."""
        if not self.n_positive:
            return math.nan
        predicted = np.maximum(at_or_above(self.positive + self.negative), 1)
        precision = at_or_above(self.positive) / predicted
        return float(np.sum(self.positive * precision)) / self.n_positive

    def dice_curve(self) -> Curve:
        """Return (levels,) Dice of the mask "at or above this level"; needs lesion voxels."""
        predicted = at_or_above(self.positive + self.negative)
        curve: Curve = 2 * at_or_above(self.positive) / (predicted + self.n_positive)
        return curve

    def iou_curve(self) -> Curve:
        """Return (levels,) intersection over union; needs lesion voxels."""
        tp = at_or_above(self.positive)
        curve: Curve = tp / (at_or_above(self.positive + self.negative) + self.n_positive - tp)
        return curve


def area_per_region_overlap(
    region_share: Curve, negative: NDArray[np.int64], n_regions: int, limit: float = 0.3
) -> float:
    """Return the area under region overlap against false positive rate, up to a limit.

    Overlap is the mean over lesions of the share of the lesion that is found, so that small
    lesions count like large ones; the area is divided by the limit (Bergmann et al., "The MVTec
    Anomaly Detection Dataset", IJCV 2021).

    Args:
        region_share: (levels,) sum over lesions of the share of their voxels at each level.
        negative: (levels,) voxels outside all lesions.
        n_regions: number of lesions.
        limit: largest false positive rate.

    Returns:
        Area in [0, 1], NaN without lesions or without other voxels.
    """
    n_negative = int(negative.sum())
    if not (n_regions and n_negative):
        return math.nan
    rate = np.concatenate([[0.0], at_or_above(negative)[::-1] / n_negative])
    overlap = np.concatenate([[0.0], at_or_above(region_share)[::-1] / n_regions])
    inside = int(np.searchsorted(rate, limit, side="right"))
    if inside < rate.size:
        step = (limit - rate[inside - 1]) / (rate[inside] - rate[inside - 1])
        at_limit = overlap[inside - 1] + step * (overlap[inside] - overlap[inside - 1])
        rate = np.append(rate[:inside], limit)
        overlap = np.append(overlap[:inside], at_limit)
    return float(np.trapezoid(overlap, rate)) / limit


class VoxelCurves:
    """Running voxel metrics over volumes that are added one at a time."""

    def __init__(self) -> None:
        self._all = ScoreHistogram.empty()
        self._brain = ScoreHistogram.empty()
        self._region_share = np.zeros(LEVELS)
        self._n_regions = 0
        self._dice_sum = np.zeros(LEVELS)
        self._iou_sum = np.zeros(LEVELS)
        self._case_best: list[tuple[float, float]] = []
        self._n_cases = 0

    def add(
        self, score: NDArray[Any], regions: NDArray[np.int32], brain: NDArray[np.bool_]
    ) -> None:
        """Add one volume.

        Args:
            score: (x, y, z) in [0, 1].
            regions: (x, y, z) lesions numbered from 1, 0 elsewhere.
            brain: (x, y, z) bool, voxels that count for the brain-only metrics.

        Raises:
            ValueError: a score lies outside [0, 1].
        """
        level, lesion = quantise(score), regions > 0
        case = ScoreHistogram.of(level, lesion)
        self._n_cases += 1
        self._all += case
        self._brain += ScoreHistogram.of(level[brain], lesion[brain])
        if not case.n_positive:
            return
        share = 1 / np.bincount(regions[lesion])[regions[lesion]]
        self._region_share += np.bincount(level[lesion], weights=share, minlength=LEVELS)
        self._n_regions += int(regions.max())
        dice, iou = case.dice_curve(), case.iou_curve()
        self._dice_sum += dice
        self._iou_sum += iou
        self._case_best.append((float(dice.max()), float(iou.max())))

    def add_missing(self, regions: NDArray[np.int32]) -> None:
        """Add a volume without prediction: its lesions are missed at every threshold.

        Args:
            regions: (x, y, z) lesions numbered from 1, 0 elsewhere.
        """
        n_missed = int(np.count_nonzero(regions))
        self._n_cases += 1
        if n_missed:
            self._all += ScoreHistogram.empty(n_missed)
            self._brain += ScoreHistogram.empty(n_missed)
            self._n_regions += int(regions.max())
            self._case_best.append((0.0, 0.0))

    def metrics(self) -> dict[str, float]:
        """Return AUROC, AUPRC and AUPRO (all voxels and `_brain`) and the oracle Dice and IoU.

        `best_dice` pools the voxels of all volumes; `oracle_*_mean` averages over anomalous
        volumes at the one threshold with the highest mean Dice; `oracle_*_per_case` averages each
        volume's own best. All of them choose their threshold on the evaluated volumes.
        """
        share, n_regions = self._region_share, self._n_regions
        return {
            "n_cases": self._n_cases,
            "AUROC": self._all.auroc(),
            "AUROC_brain": self._brain.auroc(),
            "AUPRC": self._all.average_precision(),
            "AUPRC_brain": self._brain.average_precision(),
            "AUPRO": area_per_region_overlap(share, self._all.negative, n_regions),
            "AUPRO_brain": area_per_region_overlap(share, self._brain.negative, n_regions),
            **self._oracle(),
        }

    def _oracle(self) -> dict[str, float]:
        names = (
            *("best_dice", "best_dice_threshold", "best_iou"),
            *("oracle_dice_mean", "oracle_dice_mean_threshold", "oracle_iou_mean"),
            *("oracle_dice_per_case", "oracle_iou_per_case"),
        )
        if not self._case_best:
            return dict.fromkeys(names, math.nan)
        pooled, iou = self._all.dice_curve(), self._all.iou_curve()
        best, common = best_level(pooled), best_level(self._dice_sum)
        n_anomalous = len(self._case_best)
        case_dice, case_iou = np.mean(self._case_best, axis=0)
        values = (
            *(pooled[best], threshold_of(best), iou[best]),
            *(self._dice_sum[common] / n_anomalous, threshold_of(common)),
            *(self._iou_sum[common] / n_anomalous, case_dice, case_iou),
        )
        return {name: float(value) for name, value in zip(names, values, strict=True)}
