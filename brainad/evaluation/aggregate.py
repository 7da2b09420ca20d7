"""Compare the delivered results of a cohort with the truth and sum it up in a `Summary`.

The list of cases comes from the truth. A case without prediction counts as wrong wherever it
can be wrong: its lesions are missed, its Dice is 0, an unhealthy patient ranks below all others
and a healthy one above, and a healthy case counts as one with false positives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.case import Diagnosis
from brainad.evaluation import metrics
from brainad.evaluation.lesions import (
    Lesion,
    lesion_regions,
    measure_lesions,
    sensitivity,
    sensitivity_by_size,
)
from brainad.evaluation.slice_overlap import SliceOverlap
from brainad.evaluation.voxel_curves import VoxelCurves
from brainad.summary import CaseMetrics, Summary, ThresholdSource

# Scores are in [0, 1]; a case without prediction takes the wrong side of all of them.
_BELOW_ALL, _ABOVE_ALL = -1.0, 2.0
_SIZE_NAMES = ("below_100_mm3", "100_to_1000_mm3", "from_1000_mm3")


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known about a case.

    Args:
        case_id: name of the case.
        patient_id: groups the cases of one person.
        label: diagnosis; where unknown it follows from the lesion mask.
        lesion: (x, y, z) bool on the grid of the file, None if nobody drew one.
        voxel_mm3: volume of a voxel of that grid.
        slice_axis: array axis that slices count along.
        file: name of the truth mask.
    """

    case_id: str
    patient_id: str
    label: Diagnosis
    lesion: NDArray[np.bool_] | None
    voxel_mm3: float
    slice_axis: int = 2
    file: str | None = None

    @property
    def is_unhealthy(self) -> bool | None:
        """Tell the diagnosis, None if it is unknown."""
        if self.label != "unknown":
            return self.label == "unhealthy"
        return None if self.lesion is None else bool(self.lesion.any())


@dataclass(frozen=True, eq=False)
class Delivered:
    """What was delivered for a case.

    Args:
        mask: (x, y, z) bool, voxels called anomalous.
        score: patient score in [0, 1].
        anomaly_map: (x, y, z) in [0, 1], 0 outside the brain; None if maps were not kept.
        slice_scores: (slices,) in [0, 1]; None if they were not kept.
        file: name of the mask.
    """

    mask: NDArray[np.bool_]
    score: float
    anomaly_map: NDArray[Any] | None = None
    slice_scores: NDArray[Any] | None = None
    file: str | None = None


class Evaluation:
    """A running evaluation; add every expected case once, then ask for the summary.

    Args:
        threshold: decision threshold of patient and slice scores on their 0…1 scale.
        threshold_source: where the decision threshold comes from.
        seed: of the bootstrap.
        resamples: of the bootstrap.
    """

    def __init__(
        self,
        threshold_source: ThresholdSource,
        threshold: float = 0.5,
        seed: int = 0,
        resamples: int = 1000,
    ) -> None:
        self.threshold_source = threshold_source
        self.threshold = threshold
        self.seed = seed
        self.resamples = resamples
        self._n_cases = {"expected": 0, "evaluated": 0, "missing": 0, "failed": 0}
        self._cases: list[CaseMetrics] = []
        self._patients: dict[str, tuple[bool, float]] = {}
        self._slices: list[tuple[NDArray[np.bool_], NDArray[Any]]] = []
        self._slice_overlap = SliceOverlap()
        self._curves = VoxelCurves()
        self._false_positives: list[tuple[float, float, bool]] = []
        self._overlaps: list[tuple[float, float]] = []
        self._lesions: list[Lesion] = []

    def add(self, truth: Truth, delivered: Delivered) -> None:
        """Compare one delivered case with its truth.

        Raises:
            ValueError: truth and prediction differ in shape.
        """
        self._count("evaluated")
        self._add_patient(truth, delivered.score)
        lesion = truth.lesion
        if lesion is None and truth.label == "healthy":
            lesion = np.zeros(delivered.mask.shape, dtype=bool)
        if lesion is None:
            counts: dict[str, float] = {"n_pred": int(np.count_nonzero(delivered.mask))}
        else:
            counts = self._add_voxels(truth, lesion, delivered)
        self._cases.append(
            CaseMetrics(truth.case_id, _complete(counts), delivered.file, truth.file)
        )

    def add_missing(self, truth: Truth, is_reported: bool) -> None:
        """Count a case without prediction as wrong.

        Args:
            truth: what is known about the case.
            is_reported: True if the prediction run lists it as failed, False if it is just
                not there.
        """
        self._count("failed" if is_reported else "missing")
        self._add_patient(truth, _BELOW_ALL if truth.is_unhealthy else _ABOVE_ALL)
        counts: dict[str, float] = {}
        if truth.lesion is not None and truth.lesion.any():
            regions = lesion_regions(truth.lesion)
            n_ref = int(np.count_nonzero(regions))
            counts = {"Dice": 0.0, "IoU": 0.0, "TP": 0, "FN": n_ref, "n_ref": n_ref}
            self._overlaps.append((0.0, 0.0))
            self._lesions += measure_lesions(
                regions, np.zeros(regions.shape, dtype=bool), truth.voxel_mm3
            )
            self._curves.add_missing(regions)
            shown = _slices_with(truth.lesion, truth.slice_axis)
            nothing = np.zeros_like(truth.lesion)
            self._slice_overlap.add(truth.lesion, nothing, truth.slice_axis, shown)
            self._slices.append((shown[shown], np.full(int(shown.sum()), _BELOW_ALL)))
        elif truth.is_unhealthy is False:
            self._false_positives.append((math.nan, math.nan, True))
        self._cases.append(CaseMetrics(truth.case_id, _complete(counts), None, truth.file))

    def summary(self) -> Summary:
        """Sum up everything added so far."""
        return Summary(
            cases=tuple(self._cases),
            foreground_mean=_mean_of_defined([case.metrics for case in self._cases]),
            n_cases=dict(self._n_cases),
            patient_level=self._patient_level(),
            patient_ci95=metrics.bootstrap_ci95(
                *self._patient_arrays(), self.threshold, self.seed, self.resamples
            ),
            slice_level=self._slice_level(),
            pixel_level=self._curves.metrics(),
            by_group={"healthy": self._healthy(), "unhealthy": self._unhealthy()},
            threshold_source=self.threshold_source,
        )

    def _count(self, outcome: str) -> None:
        self._n_cases["expected"] += 1
        self._n_cases[outcome] += 1

    def _add_patient(self, truth: Truth, score: float) -> None:
        """Let a patient be unhealthy if one case is, and score like the highest case."""
        if truth.is_unhealthy is None:
            return
        unhealthy, highest = self._patients.get(truth.patient_id, (False, -math.inf))
        self._patients[truth.patient_id] = (
            unhealthy or truth.is_unhealthy,
            max(highest, float(score)),
        )

    def _add_voxels(
        self, truth: Truth, lesion: NDArray[np.bool_], delivered: Delivered
    ) -> dict[str, float]:
        counts = metrics.confusion(lesion, delivered.mask)
        regions = lesion_regions(lesion)
        if counts.tp + counts.fn:
            self._overlaps.append((counts.dice, counts.iou))
            self._lesions += measure_lesions(regions, delivered.mask, truth.voxel_mm3)
        elif truth.is_unhealthy is False:
            self._false_positives.append((counts.fp, counts.fp * truth.voxel_mm3, counts.fp > 0))
        if delivered.anomaly_map is not None:
            brain = (delivered.anomaly_map > 0) | lesion
            self._curves.add(delivered.anomaly_map, regions, brain)
            seen = _slices_with(brain | delivered.mask, truth.slice_axis)
            self._slice_overlap.add(lesion, delivered.mask, truth.slice_axis, seen)
        if delivered.slice_scores is not None:
            shown = _slices_with(lesion, truth.slice_axis)
            counted = shown | (delivered.slice_scores > 0)
            self._slices.append((shown[counted], delivered.slice_scores[counted]))
        return {
            **{"Dice": counts.dice, "IoU": counts.iou},
            **{"TP": counts.tp, "FP": counts.fp, "FN": counts.fn, "TN": counts.tn},
            **{"n_pred": counts.tp + counts.fp, "n_ref": counts.tp + counts.fn},
        }

    def _patient_arrays(self) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        unhealthy = np.array([truth for truth, _ in self._patients.values()], dtype=bool)
        return unhealthy, np.array([score for _, score in self._patients.values()])

    def _patient_level(self) -> metrics.Metrics:
        unhealthy, score = self._patient_arrays()
        return {
            **metrics.decision_metrics(unhealthy, score, self.threshold),
            "threshold": self.threshold,
            "n_healthy": int(np.count_nonzero(~unhealthy)),
            "n_unhealthy": int(np.count_nonzero(unhealthy)),
        }

    def _slice_level(self) -> metrics.Metrics:
        shown = np.concatenate([np.zeros(0, dtype=bool), *(truth for truth, _ in self._slices)])
        score = np.concatenate([np.zeros(0), *(scores for _, scores in self._slices)])
        correct = int(np.count_nonzero(shown == (score >= self.threshold)))
        return {
            **metrics.decision_metrics(shown, score, self.threshold),
            "accuracy": metrics.ratio(correct, shown.size),
            "n_slices": shown.size,
            "n_anomalous": int(np.count_nonzero(shown)),
            **self._slice_overlap.metrics(),
        }

    def _healthy(self) -> metrics.Metrics:
        rows = [
            {"FP_voxels": voxels, "FP_mm3": mm3, "share_with_false_positives": float(any_)}
            for voxels, mm3, any_ in self._false_positives
        ]
        names = ("FP_voxels", "FP_mm3", "share_with_false_positives")
        return {"n_cases": len(rows), **dict.fromkeys(names, math.nan), **_mean_of_defined(rows)}

    def _unhealthy(self) -> metrics.Metrics:
        rows = [{"Dice": dice, "IoU": iou} for dice, iou in self._overlaps]
        by_size = zip(_SIZE_NAMES, sensitivity_by_size(self._lesions), strict=True)
        return {
            "n_cases": len(rows),
            **dict.fromkeys(("Dice", "IoU"), math.nan),
            **_mean_of_defined(rows),
            "n_lesions": len(self._lesions),
            "lesion_sensitivity": sensitivity(self._lesions),
            **{f"lesion_sensitivity_{name}": value for name, value in by_size},
        }


def _complete(counts: dict[str, float]) -> dict[str, float]:
    names = ("Dice", "FN", "FP", "IoU", "TN", "TP", "n_pred", "n_ref")
    return {name: counts.get(name, math.nan) for name in names}


def _slices_with(lesion: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Return (slices,) bool: the slice shows a lesion."""
    others = tuple(other for other in range(lesion.ndim) if other != axis)
    return np.asarray(lesion.any(axis=others))


def _mean_of_defined(rows: Sequence[Any]) -> metrics.Metrics:
    """Average each column over the rows where it is not NaN."""
    means = {}
    for name in rows[0] if rows else ():
        defined = [row[name] for row in rows if not math.isnan(row[name])]
        means[name] = math.fsum(defined) / len(defined) if defined else math.nan
    return means
