"""Which slices of the training cases stage 1 and stage 2 learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainad.case import PreparedCase, TrainingCase
from brainad.errors import UsageError
from brainad.methods.rasalore.grey import Grey, fixed_range, gamma_corrected
from brainad.training.sampling import spread_over

_FIX = "add slices.csv (case_id, axis, slice_index, label) or lesion masks to the dataset"


@dataclass(frozen=True)
class Example:
    """One labelled slice.

    Args:
        case: number of the training case.
        index: of the slice, along the planned axis.
        anomalous: whether it shows an anomaly.
    """

    case: int
    index: int
    anomalous: bool


def find_examples(
    cases: Sequence[TrainingCase], channel: str, axis: int, least_pixels: int
) -> list[Example]:
    """List the labelled slices that show enough brain, case by case.

    Args:
        cases: with a label for each usable slice.
        channel: that the slices are taken from; cases without it are passed over.
        axis: that slices count along.
        least_pixels: a slice must keep so many pixels after the gamma correction.

    Raises:
        UsageError: there is no label, no case with the channel, or only one class.
    """
    examples = []
    for number, training in enumerate(cases):
        if training.target is None or channel not in training.case.images:
            continue
        large = np.isin(np.arange(training.usable.size), brain_slices(
            training.case, channel, axis, least_pixels))  # fmt: skip
        for index in np.flatnonzero(training.usable & large):
            examples.append(Example(number, int(index), bool(training.target[index])))
    _require_both_classes(examples, channel)
    return examples


def brain_slices(
    case: PreparedCase, channel: str, axis: int, least_pixels: int
) -> NDArray[np.intp]:
    """Return the slices that keep enough pixels after the gamma correction."""
    bright = gamma_corrected(grey_slices(case, channel, axis)) > 0
    return np.flatnonzero(bright.sum((1, 2)) >= max(least_pixels, 1))


def grey_slices(case: PreparedCase, channel: str, axis: int) -> Grey:
    """Return all slices (slices, rows, columns) of a channel in eight bits, not gamma-corrected."""
    return np.moveaxis(fixed_range(np.asarray(case.images[channel])), axis, 0)


def rows_by_case(examples: Sequence[Example]) -> dict[int, list[int]]:
    """Return the numbers of the examples of each case, so that a case is read once."""
    rows: dict[int, list[int]] = {}
    for row, example in enumerate(examples):
        rows.setdefault(example.case, []).append(row)
    return rows


def spread_examples(examples: Sequence[Example], most: int) -> list[Example]:
    """Choose at most so many examples, each case the same number of its own, evenly spread.

    What is chosen of a case depends on the number of cases, not on the others: folds of equal
    size choose alike, and share what is kept of their slices.
    """
    rows = rows_by_case(examples)
    per_case = max(most // max(len(rows), 1), 1)
    chosen = [mine[place] for mine in rows.values() for place in spread_over(len(mine), per_case)]
    return [examples[chosen[place]] for place in spread_over(len(chosen), most)]


def _require_both_classes(examples: Sequence[Example], channel: str) -> None:
    if not examples:
        raise UsageError(
            f"no slice of channel {channel} has a label", "training cases of rasalore", _FIX
        )
    found = {example.anomalous for example in examples}
    if len(found) == 1:
        only, other = ("anomalous", "normal") if found == {True} else ("normal", "anomalous")
        raise UsageError(
            f"all {len(examples)} labelled slices are {only}, none is {other}",
            "training cases of rasalore",
            f"{_FIX}: both kinds of slices are needed",
        )
