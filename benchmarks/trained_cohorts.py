"""Phantom cohorts to learn from, to set thresholds on and to be judged on; one row per method.

Used by medsad_phantoms.py and four_methods.py. Everything is kept in the working folder: cohorts,
prepared cases, features, checkpoints, models, predictions and finished rows; the same command
continues after an interruption. Phantoms share one anatomy and are not patients: the figures
compare methods and settings, they do not predict clinical performance.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brainad import methods
from brainad.case import Supervision
from brainad.files import read_json, value_hash, write_json
from brainad.phantom import LesionKind, PhantomOptions
from brainad.pipeline.calibrate import calibrate_folder
from brainad.pipeline.cases import Share
from brainad.pipeline.dataset import PLAN_FILE, PREPARED_FOLDER, DatasetWork
from brainad.pipeline.evaluate import evaluate_folder, find_truth
from brainad.pipeline.executors import Processes
from brainad.pipeline.folder import FolderOptions
from brainad.pipeline.model import Model, open_model, training_free_model, with_own_threshold
from brainad.pipeline.phantoms import Cohort, write_cohort
from brainad.pipeline.predict import DecisionOptions, RunReport, predict_folder
from brainad.pipeline.resources import measure_resources
from brainad.pipeline.splits import SPLITS_FILE
from brainad.pipeline.train import Fold, TrainingOptions, train_fold
from brainad.plan import Plan, Resources, to_table
from brainad.summary import Summary
from brainad.workspace import find_workspace

ROLES = ("training", "testing", "calibration")
_FOLD = "0"
_FPR = 0.05


@dataclass(frozen=True)
class Design:
    """The cohorts.

    Args:
        home: working folder.
        channels: of the phantoms.
        lesion: of the unhealthy ones.
        training: numbers of healthy and unhealthy phantoms that are learnt from.
        calibration: number of other healthy phantoms, which set the thresholds.
        testing: numbers of healthy and unhealthy phantoms that are judged.
        seed: of the training cohort; the others have the next ones.
        spacing_mm: voxel edge of the phantoms and of the working grid; None as planned.
    """

    home: Path
    channels: tuple[str, ...]
    lesion: LesionKind
    training: tuple[int, int]
    calibration: int
    testing: tuple[int, int]
    seed: int
    spacing_mm: float | None = None

    def cohort(self, role: str) -> Cohort:
        """Return one of `ROLES`."""
        spacing = self.spacing_mm or 1.0
        options = PhantomOptions(
            channels=self.channels, lesion=self.lesion, spacing_mm=(spacing, spacing, spacing)
        )
        seed = self.seed + ROLES.index(role)
        sizes = {
            "training": self.training,
            "testing": self.testing,
            "calibration": (self.calibration, 0),
        }
        healthy, unhealthy = sizes[role]
        folder = self.home / "raw" / f"Dataset{seed}_{role.capitalize()}"
        return Cohort(folder, options, healthy, unhealthy, seed)


@dataclass(frozen=True, eq=False)
class Prepared:
    """The cohorts, planned alike and prepared.

    Args:
        design: what was asked for.
        plan: made for the training cohort.
        resources: of this machine.
    """

    design: Design
    plan: Plan
    resources: Resources

    def raw(self, role: str) -> Path:
        """Return the raw dataset of a cohort."""
        return self.design.cohort(role).folder

    def derived(self, role: str) -> Path:
        """Return what was derived from it."""
        return self.design.home / "preprocessed" / self.raw(role).name


def prepare(design: Design, processes: int) -> Prepared:
    """Write, plan and prepare the cohorts; all follow the plan of the first."""
    resources = measure_resources(find_workspace({}).weights, "auto")
    prepared: Prepared | None = None
    for role in ROLES:
        cohort = design.cohort(role)
        write_cohort(cohort, executor=Processes(processes))
        derived = design.home / "preprocessed" / cohort.folder.name
        work = DatasetWork(cohort.folder, derived, executor=Processes(processes))
        if prepared is None:
            _write_split(cohort)
            prepared = Prepared(design, work.plan(resources, design.spacing_mm), resources)
        else:
            write_json(derived / PLAN_FILE, to_table(prepared.plan))
        failed = [o for o in work.preprocess(resources.device, Share()) if o.failure]
        if failed:
            raise RuntimeError(f"{len(failed)} phantoms could not be prepared: {failed[0].failure}")
    assert prepared is not None, "the loop has three rounds"
    return prepared


def _write_split(cohort: Cohort) -> None:
    """Learn from all of them: thresholds and judgement come from other cohorts."""
    write_json(cohort.folder / SPLITS_FILE, [{"train": cohort.case_ids(), "val": []}])


def changed(plan: Plan, configuration: str, settings: Mapping[str, Any]) -> Plan:
    """Replace settings of one configuration; nested tables are merged."""
    table = merged(plan.configurations[configuration], settings)
    return replace(plan, configurations={**plan.configurations, configuration: table})


def merged(table: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Replace values of a table; nested tables are merged."""
    result = dict(table)
    for name, value in settings.items():
        nested = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
        result[name] = merged(result[name], value) if nested else value
    return result


@dataclass(frozen=True, eq=False)
class Judged:
    """How a trained method did on the test cohort.

    Args:
        summary: all metrics.
        training_minutes: features included; 0 without training.
        seconds_per_case: encoding and scoring, without preprocessing.
        predictions: output folder.
    """

    summary: Summary
    training_minutes: float
    seconds_per_case: float
    predictions: Path


def train_and_judge(
    prepared: Prepared, name: str, configuration: str, settings: Mapping[str, Any]
) -> Judged:
    """Train one variant and judge it on the test cohort, or read what an earlier run found.

    Args:
        prepared: both cohorts.
        name: of the variant; its folders are called so.
        configuration: the method.
        settings: what differs from the plan.
    """
    home = prepared.design.home
    plan = changed(prepared.plan, configuration, settings)
    predictions, record = home / "predictions" / name, home / "rows" / f"{name}.json"
    key = value_hash([to_table(plan), configuration, prepared.design.calibration])
    if record.is_file() and (known := read_json(record))["key"] == key:
        summary = Summary.from_dict(read_json(predictions / "summary.json"))
        return Judged(summary, known["training_minutes"], known["seconds_per_case"], predictions)
    model, minutes = _trained(prepared, plan, name, configuration)
    decisions = DecisionOptions()
    if model.spec.supervision is not Supervision.NONE:
        decisions = DecisionOptions(calibration=_calibrated(prepared, name, model))
    report = _predicted(prepared, "testing", model, predictions, decisions)
    summary = evaluate_folder(find_truth(prepared.raw("testing")), predictions)
    seconds = (report.seconds["encode"] + report.seconds["score"]) / len(report.markers)
    row = {"key": key, "training_minutes": minutes, "seconds_per_case": seconds}
    write_json(record, row)
    return Judged(summary, minutes, seconds, predictions)


def _predicted(
    prepared: Prepared, role: str, model: Model, target: Path, decisions: DecisionOptions
) -> RunReport:
    """Predict one of the cohorts from what is prepared."""
    options = FolderOptions(
        device=prepared.resources.device, prepared=prepared.derived(role) / PREPARED_FOLDER
    )
    source = prepared.raw(role) / "imagesTr"
    return predict_folder(source, target, lambda _fingerprint: model, options, decisions)


def _calibrated(prepared: Prepared, name: str, model: Model) -> Path:
    """Set thresholds on healthy phantoms that were not learnt from."""
    home = prepared.design.home / "calibration"
    _predicted(prepared, "calibration", model, home / name, DecisionOptions())
    truth = find_truth(prepared.raw("calibration"))
    path = home / f"{name}.json"
    found = calibrate_folder(home / name, truth, _FPR, path)
    write_json(path, to_table(with_own_threshold(found, model.spec)))
    return path


def _trained(prepared: Prepared, plan: Plan, name: str, configuration: str) -> tuple[Model, float]:
    """Train, or make what needs no training; returns the minutes that this call took."""
    resources = prepared.resources
    if methods.get(configuration).supervision is Supervision.NONE:
        return training_free_model(plan, configuration, resources), 0.0
    results = prepared.design.home / "results" / name
    fold = Fold(
        prepared.raw("training"), prepared.derived("training"), results, configuration, _FOLD
    )
    fold.plan = plan
    clock = results / "minutes.json"
    before = read_json(clock)["minutes"] if clock.is_file() else 0.0
    started = time.perf_counter()
    report = train_fold(fold, resources, TrainingOptions())
    minutes = before + (time.perf_counter() - started) / 60 if report.trained else before
    write_json(clock, {"minutes": minutes})
    return open_model(report.folder, resources), minutes
