"""Train one fold of a configuration: fit, validate on held-out cases, calibrate, store."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import OutOfMemoryError

from brainad import methods, model_folder
from brainad.arrays import ArrayFolder
from brainad.case import Supervision
from brainad.dataset import Dataset, read_dataset
from brainad.errors import ResourceError, UsageError
from brainad.evaluation.calibration import (
    CaseStatistics,
    calibrate_on_cohort,
    calibrate_on_healthy,
)
from brainad.files import read_json, value_hash, write_json
from brainad.model_folder import CARD_FILE, CHANNEL_NAMES, StoredModel
from brainad.pipeline.cases import Watch, unwatched
from brainad.pipeline.dataset import (
    FINGERPRINT_FILE,
    PLAN_FILE,
    PREPARED_FOLDER,
    TRUTH_FOLDER,
)
from brainad.pipeline.evaluate import TruthFolder, find_truth
from brainad.pipeline.model import Model, build_method, open_model, with_own_threshold
from brainad.pipeline.planning import read_plan
from brainad.pipeline.splits import keep_or_make_splits
from brainad.pipeline.trained import (
    ALL,
    VALIDATION_FOLDER,
    fold_folder,
    trained_folds,
    trainer_folder,
)
from brainad.pipeline.validate import Validation
from brainad.plan import Fingerprint, Plan, Resources, from_table
from brainad.planning.configuration import can_run
from brainad.planning.splits import Split
from brainad.prediction import Calibration
from brainad.prepared import PreparedFolder
from brainad.training.session import FolderSession
from brainad.training.supervision import TrainingCases
from brainad.truth import PreparedTruthFolder

_log = logging.getLogger(__name__)

HELD_OUT_FILE = "held_out.json"
ENVIRONMENT_FILE = "environment.json"
FEATURES_FOLDER = "features"
_KEY = "training_key"


@dataclass(frozen=True)
class TrainingOptions:
    """How a fold is trained.

    Args:
        seed: instead of the planned one; None keeps it.
        overwrite: train anew even if the fold is finished.
        validate_only: do not train, judge the held-out cases with the model that is there.
        fpr: share of healthy people that may be called unhealthy.
    """

    seed: int | None = None
    overwrite: bool = False
    validate_only: bool = False
    fpr: float = 0.05


@dataclass(frozen=True)
class TrainingReport:
    """What became of a training.

    Args:
        folder: the model.
        trained: whether it was trained now, not found finished.
        cases: number of training cases.
        held_out: number of cases held out.
        calibration: stored thresholds, or None.
    """

    folder: Path
    trained: bool
    cases: int
    held_out: int
    calibration: Calibration | None


class Fold:
    """One fold of one configuration of a preprocessed dataset.

    Args:
        raw: dataset folder.
        derived: its preprocessed folder.
        results: its results folder.
        configuration: the method.
        fold: a number or ``all``.

    Raises:
        UsageError: nothing is planned or prepared, the labels do not allow the method, or there
            is no such fold.
    """

    def __init__(
        self, raw: Path, derived: Path, results: Path, configuration: str, fold: str
    ) -> None:
        self.configuration = configuration
        self.spec = methods.get(configuration)
        if self.spec.supervision is Supervision.NONE:
            raise UsageError(
                f"{configuration} needs no training",
                "brainad_train",
                f"use it at once: brainad_predict -d {raw.name} -c {configuration}",
            )
        path = derived / FINGERPRINT_FILE
        if not (derived / PLAN_FILE).is_file() or not path.is_file():
            raise UsageError(
                "the dataset is not planned and prepared",
                str(derived),
                f"run brainad_plan_and_preprocess -d {raw.name}",
            )
        self.plan = read_plan(derived / PLAN_FILE)
        fingerprint = from_table(Fingerprint, read_json(path), str(path))
        runnable = can_run(self.spec.supervision, fingerprint)
        if not runnable.value:
            raise UsageError(
                f"{configuration} cannot be trained: it {runnable.because}",
                raw.name,
                "label healthy cases in cases.csv, slices in slices.csv, or add masks",
            )
        self.dataset: Dataset = read_dataset(raw)
        self.fold = fold
        self.trainer = trainer_folder(results, configuration)
        self.folder = fold_folder(self.trainer, fold)
        self.prepared = PreparedFolder(derived / PREPARED_FOLDER)
        self.truths = PreparedTruthFolder(ArrayFolder(derived / TRUTH_FOLDER))
        self.features = derived / FEATURES_FOLDER
        self.healthy = {c.case_id for c in fingerprint.cases if c.label == "healthy"}
        split = self._split(raw, derived, fingerprint)
        self.train = self._at_hand(split.train, raw.name)
        self.held_out = self._at_hand(split.val, raw.name) if split.val else ()

    def _split(self, raw: Path, derived: Path, fingerprint: Fingerprint) -> Split:
        left_out = self.dataset.test_case_ids
        if self.fold == ALL:
            everyone = (c.case_id for c in fingerprint.cases if c.case_id not in left_out)
            return Split(tuple(everyone), ())
        splits = keep_or_make_splits(raw, derived, fingerprint, left_out)
        if not self.fold.isdigit() or int(self.fold) >= len(splits):
            raise UsageError(
                f"no fold {self.fold!r}", "fold", f"choose 0 to {len(splits) - 1}, or {ALL}"
            )
        return splits[int(self.fold)]

    def _at_hand(self, names: Sequence[str], dataset: str) -> tuple[str, ...]:
        """Keep the cases that are prepared; those whose preparation failed are told."""
        found = [n for n in names if self.prepared.record(n) and self.truths.key(n)]
        missing = sorted(set(names) - set(found))
        if not found:
            raise UsageError(
                f"none of the {len(names)} cases is prepared",
                str(self.prepared.folder),
                f"run brainad_preprocess -d {dataset}",
            )
        if missing:
            _log.warning("%d cases are not prepared, e.g. %s", len(missing), missing[0])
        return tuple(found)

    def planned(self, seed: int | None) -> Plan:
        """Return the plan, with another seed if one is given."""
        if seed is None:
            return self.plan
        table = {**self.plan.configurations[self.configuration], "seed": seed}
        configurations = {**self.plan.configurations, self.configuration: table}
        return replace(self.plan, configurations=configurations)

    def key(self, plan: Plan) -> str:
        """Identify everything that a training depends on."""
        records = {name: self.prepared.record(name) for name in self.train}
        return value_hash(
            [
                plan.configurations[self.configuration],
                {name: record.key for name, record in records.items() if record},
                {name: self.truths.key(name) for name in self.train},
            ]
        )


def train_fold(
    fold: Fold, resources: Resources, options: TrainingOptions, watch: Watch = unwatched
) -> TrainingReport:
    """Train a fold, or go on where an interrupted run stopped.

    Args:
        fold: data and folders.
        resources: device and weights.
        options: seed and what to redo.
        watch: shows progress of the validation.

    Raises:
        UsageError: too little to learn from, or nothing to validate.
        ResourceError: stopped early; the same call continues.
    """
    plan = fold.planned(options.seed)
    key = fold.key(plan)
    finished = _stored_key(fold.folder) == key
    if options.validate_only and not (fold.folder / CARD_FILE).is_file():
        raise UsageError(
            "there is no trained model to validate", str(fold.folder), "train it without --val"
        )
    must_train = not options.validate_only and (options.overwrite or not finished)
    if must_train:
        _fit(fold, plan, key, resources, options.overwrite)
    model = open_model(fold.folder, resources)
    calibration = _validate(fold, model, resources.device, options.fpr, watch)
    return TrainingReport(fold.folder, must_train, len(fold.train), len(fold.held_out), calibration)


def _stored_key(folder: Path) -> str | None:
    if not (folder / CARD_FILE).is_file():
        return None
    key: str | None = model_folder.read_card(folder).get(_KEY)
    return key


def _fit(fold: Fold, plan: Plan, key: str, resources: Resources, overwrite: bool) -> None:
    session = FolderSession(fold.folder, key, fold.features)
    if overwrite:
        session.forget()
    write_json(fold.folder / ENVIRONMENT_FILE, _environment(resources))
    method = build_method(plan, fold.configuration, resources)
    cases = TrainingCases(fold.prepared, fold.truths, fold.train, fold.spec.supervision)
    try:
        method.fit(cases, session)
    except OutOfMemoryError as error:
        raise ResourceError(
            f"{resources.device} has too little memory for {fold.configuration}",
            f"training of fold {fold.fold}",
            "close what else computes there and run the same command again; or lower the batch "
            "size of the configuration in the plan, with which the training starts anew",
        ) from error
    card = _card(fold, key, method.channels)
    stored = StoredModel(plan, fold.configuration, method.state_dict(), None, card)
    model_folder.write(fold.folder, stored)
    session.forget()


def _validate(
    fold: Fold, model: Model, device: str, fpr: float, watch: Watch
) -> Calibration | None:
    """Judge the held-out cases; from the healthy ones follow the thresholds of the model."""
    held_out = set(fold.held_out)
    cases = [case for case in fold.dataset.cases if case.case_id in held_out]
    validation = Validation(model, cases, fold.prepared, fold.folder / VALIDATION_FOLDER, watch)
    statistics = validation.judge()
    if fold.fold != ALL:
        _keep_held_out(fold, statistics)
    calibration = _calibrate(fold, statistics, fpr)
    if calibration is not None:
        model_folder.write_calibration(fold.folder, calibration)
    if statistics:
        truth = _held_out_truth(fold)
        cohort = calibrate_on_cohort(list(statistics.values()))
        used = calibration or with_own_threshold(cohort, fold.spec)
        validation.deliver(used, truth, device)
    return calibration


def _held_out_truth(fold: Fold) -> TruthFolder:
    truth, names = find_truth(fold.dataset.folder), set(fold.held_out)
    return replace(truth, masks={n: path for n, path in truth.masks.items() if n in names})


def _keep_held_out(fold: Fold, statistics: Mapping[str, CaseStatistics]) -> None:
    table = {
        name: {**asdict(each), "healthy": name in fold.healthy} for name, each in statistics.items()
    }
    write_json(fold.folder / HELD_OUT_FILE, {"format_version": 1, "cases": table})


def _calibrate(fold: Fold, judged: Mapping[str, CaseStatistics], fpr: float) -> Calibration | None:
    """Choose thresholds from healthy cases that this model, or its sister folds, never saw."""
    statistics = [each for name, each in judged.items() if name in fold.healthy]
    origin, fix = "", "run brainad_calibrate -m with predictions of other healthy cases"
    if fold.fold == ALL:
        statistics = _out_of_fold(fold.trainer)
        origin, fix = ", out of fold", "train folds 0 to 4 and then `all` again, or calibrate it"
    if not statistics:
        _log.warning("no healthy case was held out: the model has no thresholds; %s", fix)
        return None
    calibration = calibrate_on_healthy(statistics, fpr)
    return with_own_threshold(replace(calibration, source=calibration.source + origin), fold.spec)


def _out_of_fold(trainer: Path) -> list[CaseStatistics]:
    """Collect what the other folds' models said about healthy cases they had not seen."""
    found = []
    for name in trained_folds(trainer):
        path = fold_folder(trainer, name) / HELD_OUT_FILE
        if name != ALL and path.is_file():
            found += [
                CaseStatistics(entry["score"], entry["map_quantile"])
                for entry in read_json(path)["cases"].values()
                if entry["healthy"]
            ]
    return found


def _card(fold: Fold, key: str, channels: Sequence[str]) -> dict[str, Any]:
    spec = fold.spec
    return {
        "name": f"{spec.name} of {fold.dataset.name}, fold {fold.fold}",
        "created_by": f"brainad {version('brainad')}",
        "intended_use": "research only; not a medical device",
        "licence": "that of the training data and the encoder's weights; see the encoder's name",
        "citation": spec.citation,
        "channels": list(channels),
        CHANNEL_NAMES: {
            str(number): name for number, name in fold.dataset.description.channel_names.items()
        },
        "training_data": {
            "dataset": fold.dataset.name,
            "fold": fold.fold,
            "cases": len(fold.train),
            "held_out_cases": len(fold.held_out),
        },
        "encoder": fold.plan.configurations[fold.configuration].get("encoder"),
        _KEY: key,
    }


def _environment(resources: Resources) -> dict[str, Any]:
    """Describe the machine, without names of hosts or people."""
    packages = ("brainad", "torch", "transformers", "numpy", "scipy")
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "packages": {name: version(name) for name in packages},
        "device": resources.device,
        "threads": resources.threads,
        "memory_gib": round(resources.memory_gib, 1),
    }
