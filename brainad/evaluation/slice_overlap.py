"""Dice over slices, told apart by what it is averaged over.

Published slice-wise figures often count a slice without lesion and without prediction as 1. A
predictor that finds nothing then scores the share of normal slices, so the mean over the slices
with a lesion and the score of the empty predictor are given beside it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.evaluation.metrics import Metrics, ratio


class SliceOverlap:
    """A running sum over slices; add every case once, then ask for the metrics."""

    def __init__(self) -> None:
        self._counts: list[NDArray[np.int64]] = []

    def add(
        self,
        truth: NDArray[np.bool_],
        predicted: NDArray[np.bool_],
        axis: int,
        counted: NDArray[np.bool_],
    ) -> None:
        """Count the slices of a case.

        Args:
            truth: (x, y, z) bool.
            predicted: bool of the same shape.
            axis: that slices count along.
            counted: (slices,) bool, such as the slices that show brain.
        """
        others = tuple(other for other in range(truth.ndim) if other != axis)
        sums = [each.sum(axis=others) for each in (truth & predicted, truth, predicted)]
        self._counts.append(np.stack(sums, axis=1)[counted])

    def metrics(self) -> Metrics:
        """Return Dice over slices with a lesion, over all slices, over all pixels, and of nothing.

        ``Dice_lesion_slices``: mean over the slices whose truth has a lesion.
        ``Dice_all_slices``: mean over all slices, 1 where truth and prediction are both empty.
        ``Dice_all_slices_if_nothing_is_found``: the same for a predictor that finds nothing.
        ``Dice_pooled``: all pixels as one image.
        """
        counts = np.concatenate([np.zeros((0, 3), dtype=np.int64), *self._counts])
        both, truth, predicted = counts.T
        dice = slice_dice(both, truth, predicted)
        return {
            "Dice_lesion_slices": _mean(dice[truth > 0]),
            "Dice_all_slices": _mean(dice),
            "Dice_all_slices_if_nothing_is_found": _mean(truth == 0),
            "Dice_pooled": ratio(2 * float(both.sum()), float(truth.sum() + predicted.sum())),
        }


def slice_dice(
    both: NDArray[np.int64], truth: NDArray[np.int64], predicted: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return Dice per slice from pixel counts (slices,); 1 where nothing is there or found."""
    total = truth + predicted
    result = np.ones(len(total))
    np.divide(2 * both, total, out=result, where=total > 0)
    return result


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values)) if values.size else math.nan
