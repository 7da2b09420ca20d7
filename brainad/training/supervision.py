"""The only door for ground truth: prepared cases become training cases of a declared level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from brainad.case import PreparedCase, Supervision, TrainingCase
from brainad.prepared import PreparedFolder
from brainad.truth import ANOMALOUS, NORMAL, UNKNOWN, PreparedTruth, PreparedTruthFolder


def supervise(case: PreparedCase, truth: PreparedTruth, level: Supervision) -> TrainingCase:
    """Give a case as much truth as a level allows, and no more.

    Args:
        case: without truth.
        truth: of the same case.
        level: ``NONE`` all slices and no target; ``NORMAL`` slices known to be normal and no
            target; ``SLICE`` slices with a known label and (slices,) whether each shows an
            anomaly; ``VOXEL`` slices that were annotated and the (x, y, z) lesion.
    """
    slices = truth.slices
    match level:
        case Supervision.NONE:
            return TrainingCase(case, np.ones(slices.size, dtype=np.bool_), None)
        case Supervision.NORMAL:
            return TrainingCase(case, slices == NORMAL, None)
        case Supervision.SLICE:
            return TrainingCase(case, slices != UNKNOWN, slices == ANOMALOUS)
        case Supervision.VOXEL if truth.lesion is not None:
            return TrainingCase(case, np.ones(slices.size, dtype=np.bool_), truth.lesion)
        case Supervision.VOXEL:
            nothing = np.zeros(np.asarray(case.brain).shape, dtype=np.bool_)
            return TrainingCase(case, slices == NORMAL, nothing)


class TrainingCases(Sequence[TrainingCase]):
    """Training cases that are read from disk one by one when asked for.

    Args:
        prepared: images.
        truths: truth, apart from the images.
        case_ids: which, in order.
        level: how much of the truth is handed over.
    """

    def __init__(
        self,
        prepared: PreparedFolder,
        truths: PreparedTruthFolder,
        case_ids: Sequence[str],
        level: Supervision,
    ) -> None:
        self._prepared = prepared
        self._truths = truths
        self._case_ids = list(case_ids)
        self._level = level

    def __len__(self) -> int:
        return len(self._case_ids)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            names = self._case_ids[index]
            return TrainingCases(self._prepared, self._truths, names, self._level)
        return self._read(self._case_ids[index])

    def __iter__(self) -> Iterator[TrainingCase]:
        return map(self._read, self._case_ids)

    def _read(self, case_id: str) -> TrainingCase:
        return supervise(self._prepared.read(case_id), self._truths.read(case_id), self._level)
