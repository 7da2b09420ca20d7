"""A folder of scans in, anomaly maps, masks and scores out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainad.case import Case
from brainad.errors import DataError, UsageError
from brainad.evaluation.calibration import calibrate_on_cohort
from brainad.files import read_json, value_hash, write_json
from brainad.inference.outputs import Marker, OutputFolder
from brainad.input_folder import find_cases
from brainad.method import Scope
from brainad.pipeline.cases import Watch, unwatched
from brainad.pipeline.deliver import Deliverer, Delivery, failure_marker
from brainad.pipeline.detect import Detector
from brainad.pipeline.folder import FolderOptions, FolderRun, ModelChoice, tidy
from brainad.pipeline.model import Model, with_own_threshold
from brainad.pipeline.parts import begin_part, record_part
from brainad.plan import from_table, to_table
from brainad.prediction import Calibration

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DecisionOptions:
    """How evidence becomes decisions.

    Args:
        calibration: file with thresholds to use instead of the model's own.
        minimum_mm3: components smaller than this are left out of the masks.
    """

    calibration: Path | None = None
    minimum_mm3: float = 0.0


@dataclass(frozen=True)
class RunReport:
    """What became of a run.

    Args:
        markers: one per case that is finished or failed.
        pending: cases that wait for other parts of the run.
        model: what predicted.
        calibration: thresholds that were used, or None if nothing was delivered.
        seconds: per stage.
        warnings: sentences a user should read.
        scans: case to the scan that the outputs lie on.
    """

    markers: Sequence[Marker]
    pending: Sequence[str]
    model: Model
    calibration: Calibration | None
    seconds: Mapping[str, float]
    warnings: Sequence[str]
    scans: Mapping[str, Path]

    @property
    def failed(self) -> list[Marker]:
        """Return the markers of failed cases."""
        return [marker for marker in self.markers if marker.failure]


def predict_folder(
    source: Path,
    target: Path,
    choose_model: ModelChoice,
    options: FolderOptions,
    decisions: DecisionOptions,
    watch: Watch = unwatched,
) -> RunReport:
    """Predict every scan of a folder; run it again to continue or to add cases.

    Args:
        source: folder with the scans.
        target: output folder.
        choose_model: makes or opens the model, given what was measured.
        options: share and resources.
        decisions: thresholds.
        watch: shows progress.

    Raises:
        UsageError: no cases, a cohort that is too small, or wrong paths.
        DataError: not one case can be used.
        ResourceError: stopped early; the same call continues.
    """
    if target.resolve() == source.resolve():
        raise UsageError(
            "input and output folder are the same; masks could replace scans",
            str(target),
            "choose another output folder",
        )
    output = OutputFolder(target)
    tidy(target)
    begin_part(output, options.share)
    run = FolderRun(source, output.internal, options, watch)
    try:
        return _work_through(run, output, choose_model, options, decisions)
    except (DataError, UsageError):
        # The tables tell which cases are in the way even where the run ends.
        _record_failures(output, run, run.own_ids)
        output.write_tables(run.case_ids)
        raise


def _work_through(
    run: FolderRun,
    output: OutputFolder,
    choose_model: ModelChoice,
    options: FolderOptions,
    decisions: DecisionOptions,
) -> RunReport:
    given = _read_calibration(decisions.calibration)
    inspection = run.inspect()
    model = choose_model(inspection.fingerprint)
    thresholds = given or model.calibration
    if options.share.parts > 1 and model.method.scope is Scope.CASE and thresholds is None:
        raise UsageError(
            "the model has no thresholds, and parts would each find their own",
            f"-num_parts {options.share.parts}",
            "give -calibration FILE, or store thresholds with brainad_calibrate ... -m MODEL",
        )
    write_json(output.folder / "plans.json", to_table(model.plan))
    cases = run.usable_cases(inspection, model)
    detector, ready = run.prepare_and_encode(model, cases, inspection)
    _record_failures(output, run, run.own_ids)
    pending = _pending(output, run.case_ids, ready)
    if model.method.scope is Scope.CASE:
        ready = run.own(ready)
    elif pending:
        ready = []
    else:
        run.require_enough(model, len(ready))
    calibration = None
    remarks = inspection.remarks
    if ready:
        scored = _score(run, detector, ready)
        calibration = thresholds or _calibrate_on(model, detector, scored)
        _log.info("thresholds from %s", calibration.source)
        delivery = Delivery(
            calibration=calibration,
            minimum_mm3=decisions.minimum_mm3,
            slice_axis=model.plan.preprocessing.slice_axis,
            channels=model.method.channels,
            device=options.device,
            model_id=model.model_id,
            seconds=run.case_seconds,
            remarks=remarks,
        )
        deliverer = Deliverer(output, detector.prepared, detector.predictions, delivery)
        keys = detector.prediction_keys([case.case_id for case in ready])
        run.follow("restore", len(scored), deliverer.deliver(scored, keys, options.executor))
        _record_failures(output, run, [case.case_id for case in ready])
    markers = output.write_tables(run.case_ids)
    settings = [to_table(model.plan), thresholds and to_table(thresholds), decisions.minimum_mm3]
    record_part(output, options.share, run.case_ids, model.model_id, value_hash(settings))
    return RunReport(
        markers=markers,
        pending=pending,
        model=model,
        calibration=calibration,
        seconds=dict(run.seconds),
        warnings=(*run.found.warnings, *remarks.get("", ())),
        scans={case.case_id: case.images[case.reference] for case in cases},
    )


def _pending(output: OutputFolder, case_ids: Sequence[str], ready: Sequence[Case]) -> list[str]:
    """List the cases that other parts still have to prepare and encode, or to give up."""
    done = {case.case_id for case in ready}
    waiting = [name for name in case_ids if name not in done]
    markers = {name: output.marker(name) for name in waiting}
    return [name for name, marker in markers.items() if not (marker and marker.failure)]


def _score(run: FolderRun, detector: Detector, cases: Sequence[Case]) -> list[Case]:
    names = [case.case_id for case in cases]
    run.follow("score", len(names), detector.score(names))
    return [case for case in cases if case.case_id not in run.failures]


def _read_calibration(path: Path | None) -> Calibration | None:
    return from_table(Calibration, read_json(path), str(path)) if path else None


def _calibrate_on(model: Model, detector: Detector, scored: Sequence[Case]) -> Calibration:
    statistics = [detector.predictions.statistics(case.case_id) for case in scored]
    return with_own_threshold(calibrate_on_cohort(statistics), model.spec)


def _record_failures(output: OutputFolder, run: FolderRun, case_ids: Sequence[str]) -> None:
    """Report failed cases that this run worked on; another part may have done better."""
    files = {case.case_id: [p.name for p in case.images.values()] for case in run.found.cases}
    for case_id in case_ids:
        if failure := run.failures.get(case_id):
            marker = failure_marker(case_id, failure, files.get(case_id, []))
            output.report_failure(case_id, marker)


def dry_run(
    source: Path,
    target: Path,
    channel_map: Mapping[str, str] | None = None,
    channel_names: Mapping[int, str] | None = None,
) -> list[dict[str, str]]:
    """List what a run would do with each case, without reading a voxel."""
    found = find_cases(source, channel_names, channel_map)
    output = OutputFolder(target)
    rows = []
    for case in found.cases:
        marker = output.marker(case.case_id)
        state = "do" if marker is None else "retry" if marker.failure else "keep if unchanged"
        rows.append({"case_id": case.case_id, "channels": " ".join(case.images), "action": state})
    rows += [
        {"case_id": name, "channels": "", "action": f"fail: {error.what}"}
        for name, error in found.failures.items()
    ]
    return rows
