"""Compare what was trained on the same folds, and remember which is best."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brainad import methods
from brainad.case import Supervision
from brainad.errors import UsageError
from brainad.evaluation.aggregate import Truth
from brainad.evaluation.comparison import METRICS, JudgedPatient, Ranked, rank
from brainad.evaluation.metrics import confusion
from brainad.files import read_json, write_json
from brainad.inference.outputs import OutputFolder
from brainad.nifti import read_volume
from brainad.pipeline.evaluate import TruthFolder, read_truth
from brainad.pipeline.splits import SPLITS_FILE
from brainad.pipeline.trained import (
    VALIDATION_FOLDER,
    fold_folder,
    trained_configurations,
    trainer_folder,
)
from brainad.plan import FORMAT_VERSION, Plan
from brainad.planning.configuration import TRAINING_FREE
from brainad.planning.rules import Decision

_log = logging.getLogger(__name__)

INFORMATION_FILE = "inference_information.json"
_RESAMPLES, _SEED = 1000, 0
# Scores lie in 0…1; a patient without prediction takes the wrong side of all of them.
_BELOW_ALL, _ABOVE_ALL = -1.0, 2.0
# The more a method learnt from, the more it is trusted where nothing was measured.
_BY_SUPERVISION = (Supervision.VOXEL, Supervision.SLICE, Supervision.NORMAL, Supervision.NONE)


@dataclass(frozen=True)
class Comparison:
    """Trained configurations, best first.

    Args:
        metric: that they were compared on.
        folds: that all of them were validated on.
        ranking: best first.
    """

    metric: str
    folds: tuple[str, ...]
    ranking: tuple[Ranked, ...]

    @property
    def because(self) -> str:
        """Say in one sentence why the first is the best."""
        best = self.ranking[0]
        others = len(self.ranking) - 1
        lead = (
            f"best of {others + 1} in {best.best_share:.0%} of the resamples"
            if others
            else "the only one that was trained"
        )
        return (
            f"{lead}; {self.metric} {best.value:.3f} (95 % interval {best.low:.3f} to "
            f"{best.high:.3f}) over {best.patients} patients of folds {', '.join(self.folds)}"
        )


def find_best_configuration(
    results: Path,
    derived: Path,
    truth: TruthFolder,
    metric: str,
    configurations: Sequence[str] = (),
) -> Comparison:
    """Compare the validation results of what was trained, and write inference_information.json.

    Args:
        results: folder of the dataset in the results root.
        derived: its folder in the preprocessed root, which holds the folds.
        truth: of the whole dataset.
        metric: one of `METRICS`.
        configurations: which to compare; none for all that were trained.

    Raises:
        UsageError: nothing was trained, or the configurations share no validated fold.
    """
    folds = _validated_folds(results, configurations)
    shared = sorted(set.intersection(*(set(each) for each in folds.values())))
    if not shared:
        held = "; ".join(f"{name}: {', '.join(each) or 'none'}" for name, each in folds.items())
        raise UsageError(
            f"the configurations share no fold that was validated ({held})",
            str(results),
            "train them on the same folds: brainad_train DATASET CONFIGURATION FOLD",
        )
    splits = read_json(derived / SPLITS_FILE)
    held_out = {fold: list(splits[int(fold)]["val"]) for fold in shared}
    judged = {
        name: [
            patient
            for fold in shared
            for patient in _judge(_validation_folder(results, name, fold), truth, held_out[fold])
        ]
        for name in folds
    }
    ranking = rank(judged, metric, _SEED, _RESAMPLES)
    if math.isnan(ranking[0].value):
        raise UsageError(
            f"{metric} is undefined for these {ranking[0].patients} patients",
            str(results),
            f"choose another metric of {', '.join(METRICS)}, or more folds",
        )
    comparison = Comparison(metric, tuple(shared), tuple(ranking))
    write_json(results / INFORMATION_FILE, _to_table(comparison))
    return comparison


def _validated_folds(results: Path, configurations: Sequence[str]) -> dict[str, list[str]]:
    """Return the folds with validation predictions of each configuration."""
    trained = trained_configurations(results)
    missing = [name for name in configurations if name not in trained]
    if not trained or missing:
        raise UsageError(
            f"not trained: {', '.join(missing) or 'any configuration'}; found "
            f"{', '.join(trained) or 'none'}",
            str(results),
            "train first: brainad_train DATASET CONFIGURATION FOLD",
        )
    return {
        name: [
            fold
            for fold in trained[name]
            if fold.isdigit() and OutputFolder(_validation_folder(results, name, fold)).case_ids()
        ]
        for name in configurations or trained
    }


def _validation_folder(results: Path, configuration: str, fold: str) -> Path:
    return fold_folder(trainer_folder(results, configuration), fold) / VALIDATION_FOLDER


def _judge(predictions: Path, truth: TruthFolder, case_ids: Sequence[str]) -> list[JudgedPatient]:
    """Sum up per patient what was predicted; who has no prediction is judged wrong."""
    patients: dict[str, list[_JudgedCase]] = {}
    for case_id in case_ids:
        known, case = _judge_case(OutputFolder(predictions), truth, case_id)
        if known.is_unhealthy is not None:
            patients.setdefault(known.patient_id, []).append(case)
    return [_patient(name, cases) for name, cases in patients.items()]


@dataclass(frozen=True)
class _JudgedCase:
    is_unhealthy: bool
    score: float
    dice: float


def _judge_case(
    output: OutputFolder, truth: TruthFolder, case_id: str
) -> tuple[Truth, _JudgedCase]:
    marker, path = output.marker(case_id), output.mask_path(case_id)
    mask = read_volume(path) if marker and not marker.failure and path.is_file() else None
    known = read_truth(truth, case_id, mask)
    unhealthy = bool(known.is_unhealthy)
    has_lesion = known.lesion is not None and bool(known.lesion.any())
    if marker is None or mask is None:
        score = _BELOW_ALL if unhealthy else _ABOVE_ALL
        return known, _JudgedCase(unhealthy, score, 0.0 if has_lesion else math.nan)
    dice = math.nan
    if has_lesion and known.lesion is not None:
        dice = confusion(known.lesion, mask.data > 0).dice
    return known, _JudgedCase(unhealthy, float(marker.row["score"]), dice)


def _patient(name: str, cases: Sequence[_JudgedCase]) -> JudgedPatient:
    dice = [case.dice for case in cases if not math.isnan(case.dice)]
    return JudgedPatient(
        patient_id=name,
        is_unhealthy=any(case.is_unhealthy for case in cases),
        score=max(case.score for case in cases),
        dice=math.fsum(dice) / len(dice) if dice else math.nan,
    )


def _to_table(comparison: Comparison) -> dict[str, Any]:
    def plain(ranked: Ranked) -> dict[str, Any]:
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(ranked).items()
        }

    return {
        "format_version": FORMAT_VERSION,
        "best_configuration": comparison.ranking[0].name,
        "because": comparison.because,
        "metric": comparison.metric,
        "folds": list(comparison.folds),
        "ranking": [plain(ranked) for ranked in comparison.ranking],
    }


def choose_configuration(results: Path, plan: Plan) -> Decision[str]:
    """Choose what predicts when no configuration is named.

    What was measured decides; else the default of the plan, if it was trained or needs no
    training; else what learnt from the finest labels; else what needs no training.

    Args:
        results: folder of the dataset in the results root.
        plan: of the dataset.
    """
    trained = trained_configurations(results)
    path = results / INFORMATION_FILE
    if path.is_file():
        known = read_json(path)
        best = str(known["best_configuration"])
        if best in trained:
            return Decision(best, str(known["because"]))
        _log.warning("%s names %s, which is no longer here", path, best)
    default = plan.default_configuration
    if default in trained:
        return Decision(default, "it is the default of the plan, and was trained")
    if trained:
        finest = min(trained, key=lambda name: _BY_SUPERVISION.index(_supervision(name)))
        return Decision(finest, f"{default} was not trained; of what was, it learnt from most")
    if _supervision(default) is Supervision.NONE:
        return Decision(default, "it is the default of the plan")
    return Decision(TRAINING_FREE, f"nothing was trained yet; the plan recommends {default}")


def _supervision(configuration: str) -> Supervision:
    return methods.get(configuration).supervision
