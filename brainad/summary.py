"""Result of an evaluation: metrics per case, per level and per group, to and from JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from brainad.errors import UsageError

Metrics = Mapping[str, float]
ThresholdSource = Literal["model", "calibration_set", "cohort_rule", "test_oracle"]

# Evaluation tools that know several labels file their numbers under the label; ours is one.
_LABEL = "1"


@dataclass(frozen=True)
class CaseMetrics:
    """Voxel metrics of one case at the decision threshold.

    Args:
        case_id: name of the case.
        metrics: Dice, IoU, TP, FP, FN, TN, n_pred, n_ref; NaN where undefined.
        prediction_file: evaluated mask, None if there is no prediction.
        reference_file: truth mask, None if the case needs none.
    """

    case_id: str
    metrics: Metrics
    prediction_file: str | None
    reference_file: str | None


@dataclass(frozen=True)
class Summary:
    """Everything an evaluation says; a number that is undefined is NaN.

    Args:
        cases: one entry per expected case, predicted or not.
        foreground_mean: mean of each case metric over the cases where it is defined.
        n_cases: expected, evaluated, missing, failed.
        patient_level: AUROC, AUPRC, sensitivity, specificity, F1, threshold, n_healthy,
            n_unhealthy.
        patient_ci95: metric name to the ends of its 95 % interval over patients.
        slice_level: the same metrics over slices.
        pixel_level: AUROC, AUPRC, AUPRO over voxels; keys that begin with ``best_`` or
            ``oracle_`` use a threshold chosen on the evaluated cases and are optimistic.
        by_group: metrics of the healthy and of the unhealthy cases.
        threshold_source: where the decision threshold comes from; `test_oracle` is optimistic.
    """

    cases: tuple[CaseMetrics, ...]
    foreground_mean: Metrics
    n_cases: Mapping[str, int]
    patient_level: Metrics
    slice_level: Metrics
    pixel_level: Metrics
    by_group: Mapping[str, Metrics]
    threshold_source: ThresholdSource
    patient_ci95: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the `summary.json` table: strict JSON values, null in place of NaN."""
        table: dict[str, Any] = {
            "foreground_mean": self.foreground_mean,
            "mean": {_LABEL: self.foreground_mean},
            "metric_per_case": [
                {
                    "case_id": case.case_id,
                    "metrics": {_LABEL: case.metrics},
                    "prediction_file": case.prediction_file,
                    "reference_file": case.reference_file,
                }
                for case in self.cases
            ],
            "n_cases": self.n_cases,
            "patient_level": {**self.patient_level, "ci95": self.patient_ci95},
            "slice_level": self.slice_level,
            "pixel_level": self.pixel_level,
            "by_group": self.by_group,
            "threshold_source": self.threshold_source,
        }
        plain: dict[str, Any] = _null_for_nan(table)
        return plain

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Summary:
        """Read a `summary.json` table; null becomes NaN.

        Raises:
            UsageError: a key is missing or the threshold source is unknown.
        """
        try:
            values = _nan_for_null(table)
            patient_level = dict(values["patient_level"])
            intervals = patient_level.pop("ci95")
            parts = {
                **{part.name: values[part.name] for part in fields(cls) if part.name in values},
                "cases": tuple(_read_case(case) for case in table["metric_per_case"]),
                "patient_level": patient_level,
                "patient_ci95": {name: (low, high) for name, (low, high) in intervals.items()},
            }
            summary = cls(**parts)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise _not_a_summary(f"{type(error).__name__}: {error}") from error
        if summary.threshold_source not in get_args(ThresholdSource):
            raise _not_a_summary(f"unknown threshold source {summary.threshold_source!r}")
        return summary


def _read_case(entry: Mapping[str, Any]) -> CaseMetrics:
    metrics = _nan_for_null(entry["metrics"][_LABEL])
    return CaseMetrics(entry["case_id"], metrics, entry["prediction_file"], entry["reference_file"])


def _not_a_summary(found: str) -> UsageError:
    return UsageError(
        f"not a summary of this program: {found}", "summary.json", "evaluate the folder again"
    )


def _null_for_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _null_for_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_null_for_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _nan_for_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _nan_for_null(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nan_for_null(item) for item in value]
    return math.nan if value is None else value
