"""The released metrics, per slice and averaged over unhealthy slices (specification 7)."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from brainad.evaluation.metrics import auroc, average_precision, confusion
from brainad.methods.rasalore.crop import Window
from brainad.methods.rasalore.grey import Grey, resize

_SMOOTH = 1e-7
_HALF = 127.5


@dataclass(frozen=True)
class SliceMetrics:
    """Agreement of one slice; all 0 where the target is empty or full.

    Args:
        auroc: area under the receiver operating characteristic.
        auprc: average precision.
        precision: share of the drawn pixels that are lesion.
        recall: share of the lesion that is drawn.
        specificity: share of the rest that is not drawn.
        jaccard: intersection over union.
        false_positive_rate: share of the rest that is drawn.
    """

    auroc: float = 0.0
    auprc: float = 0.0
    precision: float = 0.0
    recall: float = 0.0
    specificity: float = 0.0
    jaccard: float = 0.0
    false_positive_rate: float = 0.0


def slice_metrics(probabilities: NDArray[np.floating], target: NDArray[np.bool_]) -> SliceMetrics:
    """Compare a slice's map (size, size) with its lesion; drawn is what reaches 0.5."""
    scores, truth = probabilities.ravel(), target.ravel().astype(bool)
    if truth.all() or not truth.any():
        return SliceMetrics()
    counts = confusion(truth, scores >= 0.5)
    drawn = counts.tp + counts.fp
    return SliceMetrics(
        auroc=auroc(truth, scores),
        auprc=average_precision(truth, scores),
        precision=counts.tp / drawn if drawn else 0.0,
        recall=counts.sensitivity,
        specificity=counts.specificity,
        jaccard=counts.iou,
        false_positive_rate=1 - counts.specificity,
    )


def hard_dice(probabilities: NDArray[np.floating], target: NDArray[np.bool_]) -> float:
    """Return the Dice of what lies above 0.5."""
    drawn, truth = probabilities > 0.5, target.astype(bool)
    both = np.count_nonzero(drawn & truth)
    return float((2 * both + _SMOOTH) / (drawn.sum() + truth.sum() + _SMOOTH))


def mean_metrics(slices: list[SliceMetrics]) -> SliceMetrics:
    """Average every measure over slices."""
    return SliceMetrics(*(float(mean) for mean in np.mean([astuple(s) for s in slices], axis=0)))


def released_target(lesion: Grey, window: Window, size: int) -> NDArray[np.bool_]:
    """Bring an expert mask into the frame of the maps, as released: doubled and so dilated.

    Args:
        lesion: slice of 0 or 255.
        window: of the slice.
        size: of the maps; half of it is where the mask is binarised.
    """
    small = window.cut(lesion, size // 2) > _HALF
    doubled = resize(np.where(small, np.uint8(255), np.uint8(0)), size, size)
    return doubled > 0
