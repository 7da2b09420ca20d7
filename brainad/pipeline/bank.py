"""Build a bank: reference cases that later scans are compared with, each alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from brainad import model_folder
from brainad.errors import UsageError
from brainad.evaluation.calibration import calibrate_on_healthy
from brainad.method import EncodingMethod
from brainad.model_folder import CHANNEL_NAMES, StoredModel
from brainad.pipeline.cases import Watch
from brainad.pipeline.folder import FolderOptions, FolderRun, ModelChoice, tidy
from brainad.pipeline.model import Model


@dataclass(frozen=True)
class BankReport:
    """What became of the cases.

    Args:
        used: cases in the bank.
        left_out: case to the reason why it is not in the bank.
        threshold_source: where the stored thresholds come from.
    """

    used: Sequence[str]
    left_out: dict[str, str]
    threshold_source: str


def build_bank(
    source: Path,
    bank: Path,
    choose_model: ModelChoice,
    options: FolderOptions,
    fpr: float,
    watch: Watch,
) -> BankReport:
    """Prepare and encode healthy scans and store them with calibrated thresholds.

    Each scan is scored against the others; these scores, of cases that did not serve as their
    own reference, set the thresholds. Scans that quality control flags are left out.

    Args:
        source: folder with scans of healthy people.
        bank: folder to write; work in progress is kept beside it, in ``bank.work``.
        choose_model: makes the model, given what was measured.
        options: resources and naming.
        fpr: share of healthy people that may be called unhealthy.
        watch: shows progress.

    Raises:
        UsageError: too few usable scans, or a method that keeps no bank.
    """
    tidy(bank.with_name(f"{bank.name}.work"))
    run = FolderRun(source, bank.with_name(f"{bank.name}.work"), options, watch)
    inspection = run.inspect()
    model = choose_model(inspection.fingerprint)
    if not isinstance(model.method, EncodingMethod):
        raise UsageError(
            f"{model.configuration} keeps no bank", "-c", "use codegraph3d, or train the method"
        )
    cases = run.usable_cases(inspection, model)
    detector, ready = run.prepare_and_encode(model, cases, inspection)
    left_out = {name: failure.message for name, failure in run.failures.items()}
    for case in ready:
        record = detector.prepared.record(case.case_id)
        if record and record.warnings:
            left_out[case.case_id] = "; ".join(record.warnings)
    names = sorted(case.case_id for case in ready if case.case_id not in left_out)
    run.require_enough(model, len(names))
    run.follow("score", len(names), detector.score(names))
    calibration = calibrate_on_healthy(
        [detector.predictions.statistics(name) for name in names], fpr
    )
    detector.remember(names)
    card = _card(model, names, run.found.channel_names)
    model_folder.write(
        bank,
        StoredModel(model.plan, model.configuration, model.method.state_dict(), calibration, card),
    )
    return BankReport(names, left_out, calibration.source)


def _card(
    model: Model, names: Sequence[str], channel_names: Mapping[int, str]
) -> dict[str, object]:
    return {
        "name": f"bank of {len(names)} reference scans",
        "created_by": f"brainad {version('brainad')}",
        "intended_use": "research only; not a medical device",
        "citation": model.spec.citation,
        "channels": list(model.method.channels),
        CHANNEL_NAMES: {str(number): name for number, name in channel_names.items()},
        "cases": len(names),
    }
