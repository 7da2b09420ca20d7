"""From predictions to the files a user gets, on each case's own grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from brainad.case import Case, PreparedCase
from brainad.evaluation.calibration import conformal_p_value
from brainad.files import compose_key, explain_change, value_hash
from brainad.inference import scoring
from brainad.inference.outputs import Marker, OutputFolder
from brainad.inference.restore import restore, restore_slice_scores
from brainad.pipeline.cases import Failure, Outcome, log_repeats, run_cases
from brainad.pipeline.detect import PredictionFolder
from brainad.pipeline.executors import IN_PROCESS, Executor
from brainad.plan import to_table
from brainad.prediction import Calibration, Prediction, Result
from brainad.prepared import PreparedFolder


@dataclass(frozen=True)
class Delivery:
    """What all cases of a run share when they are delivered.

    Args:
        calibration: thresholds.
        minimum_mm3: smaller components are left out of the masks.
        slice_axis: world axis of the slice scores (0 right, 1 front, 2 up).
        channels: channels that the method looks at.
        device: for the table.
        model_id: for the table.
        seconds: time spent on each case so far.
        remarks: case to sentences about its files.
    """

    calibration: Calibration
    minimum_mm3: float
    slice_axis: int
    channels: tuple[str, ...]
    device: str
    model_id: str
    seconds: Mapping[str, float]
    remarks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Identify everything here that changes what is delivered."""
        return value_hash(
            [to_table(self.calibration), self.minimum_mm3, self.slice_axis, self.model_id]
        )


def make_result(
    prediction: Prediction,
    prepared: PreparedCase,
    delivery: Delivery,
    warnings: tuple[str, ...],
) -> Result:
    """Bring a prediction home and decide.

    Args:
        prediction: on the working grid.
        prepared: the same case; its placement leads home.
        delivery: thresholds and slice axis.
        warnings: sentences from quality control.
    """
    calibration = delivery.calibration
    raw = restore(prediction.anomaly_map, prepared.placement, prepared.brain)
    anomaly_map = scoring.calibrated_map(raw, calibration)
    axis = anomaly_map.grid.array_axis(delivery.slice_axis)
    if prediction.slice_scores is None:
        slices = scoring.slice_scores(anomaly_map, axis)
    else:
        spread = restore_slice_scores(
            prediction.slice_scores, delivery.slice_axis, prepared.placement, prepared.brain
        )
        carried = scoring.calibrated_map(spread, calibration)
        slices = scoring.carried_slice_scores(carried, anomaly_map, axis)
    return Result(
        case_id=prediction.case_id,
        anomaly_map=anomaly_map,
        mask=scoring.decide(anomaly_map, delivery.minimum_mm3),
        score=scoring.calibrated_score(prediction.score, calibration),
        score_raw=prediction.score,
        slice_axis=axis,
        slice_scores=slices,
        warnings=warnings,
    )


class Deliverer:
    """Writes results and failures into an output folder.

    Args:
        output: where to.
        prepared: prepared cases.
        predictions: predictions on the working grid.
        delivery: what all cases share.
    """

    def __init__(
        self,
        output: OutputFolder,
        prepared: PreparedFolder,
        predictions: PredictionFolder,
        delivery: Delivery,
    ) -> None:
        self._output = output
        self._prepared = prepared
        self._predictions = predictions
        self._delivery = delivery

    def deliver(
        self, cases: Sequence[Case], keys: Mapping[str, str], executor: Executor = IN_PROCESS
    ) -> Iterator[Outcome]:
        """Deliver predicted cases that are not delivered yet; one outcome per case.

        Args:
            cases: what to deliver.
            keys: identifies each case's prediction.
            executor: where the work is done.
        """
        wanted = {case.case_id: self._key(keys[case.case_id], case.case_id) for case in cases}
        todo = [
            (case.case_id, (case, wanted[case.case_id]))
            for case in cases
            if not self._output.holds(case.case_id, wanted[case.case_id])
        ]
        log_repeats("delivered", {name: self._reason(name, key) for name, (_, key) in todo})
        missing = {name for name, _ in todo}
        yield from (Outcome(name) for name in wanted if name not in missing)
        yield from run_cases("restore", todo, self._deliver, executor)

    def _key(self, prediction: str, case_id: str) -> str:
        return compose_key(
            prediction=value_hash(prediction),
            settings=self._delivery.key,
            warnings=value_hash(self._warnings(case_id)),
        )

    def _reason(self, case_id: str, key: str) -> str | None:
        """Say why a case that is delivered has to be delivered again; None if it is not."""
        marker = self._output.marker(case_id)
        if marker is None or marker.failure:
            return None
        return explain_change(marker.key, key) if marker.key != key else "files are missing"

    def _warnings(self, case_id: str) -> tuple[str, ...]:
        record = self._prepared.record(case_id)
        return self._delivery.remarks.get(case_id, ()) + (record.warnings if record else ())

    def _deliver(self, item: tuple[Case, str]) -> None:
        case, key = item
        prepared = self._prepared.read(case.case_id)
        prediction = self._predictions.read(case.case_id)
        warnings = self._warnings(case.case_id)
        result = make_result(prediction, prepared, self._delivery, warnings)
        marker = self._marker(case, key, result)
        self._output.deliver(result, case.images[case.reference], marker)

    def _marker(self, case: Case, key: str, result: Result) -> Marker:
        delivery = self._delivery
        healthy = delivery.calibration.healthy_scores
        origin = {
            "p_value": conformal_p_value(result.score_raw, healthy) if healthy else None,
            "channels_used": " ".join(c for c in delivery.channels if c in case.images),
            "channels_missing": " ".join(c for c in delivery.channels if c not in case.images),
            "runtime_s": round(delivery.seconds.get(case.case_id, 0.0), 1),
            "device": delivery.device,
            "model_id": delivery.model_id,
        }
        return result_marker(key, result, origin, to_table(delivery.calibration))


def result_marker(
    key: str,
    result: Result,
    origin: Mapping[str, object],
    calibration: Mapping[str, Any] | None,
) -> Marker:
    """Make the marker of a finished case.

    Args:
        key: identifies what the result was made from.
        result: what is delivered.
        origin: the columns of the patient table that the result does not tell: p_value,
            channels_used, channels_missing, runtime_s, device, model_id.
        calibration: thresholds, or None if the result has none of its own.
    """
    extent = scoring.extent(result.mask, result.slice_scores)
    row = {
        "case_id": result.case_id,
        "score": round(result.score, 6),
        "score_raw": result.score_raw,
        "prediction": int(result.score >= scoring.DECISION),
        "threshold": scoring.DECISION,
        "anomalous_volume_mm3": round(extent.anomalous_volume_mm3, 1),
        "largest_component_mm3": round(extent.largest_component_mm3, 1),
        "max_slice_axis": result.slice_axis,
        "max_slice_index": extent.max_slice_index,
        "n_slices": len(result.slice_scores),
        "warnings": "; ".join(result.warnings),
        "status": "warning" if result.warnings else "ok",
        **origin,
    }
    slices = tuple(round(float(score), 5) for score in result.slice_scores)
    return Marker(key, row, result.slice_axis, slices, None, calibration)


def failure_marker(case_id: str, failure: Failure, files: Sequence[str]) -> Marker:
    """Make the marker of a case that could not be processed."""
    return Marker(
        key="",
        row={"case_id": case_id, "warnings": failure.message, "status": "failed"},
        slice_axis=0,
        slice_scores=(),
        failure={
            "case_id": case_id,
            "stage": failure.stage,
            "error_type": failure.error_type,
            "message": f"{failure.message} ({failure.where})" if failure.where else failure.message,
            "what_to_do": failure.fix,
            "files": "; ".join(files),
        },
        calibration=None,
    )
