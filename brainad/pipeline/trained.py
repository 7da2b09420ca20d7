"""Where trained models are: folders of the results root, and which fold answers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from brainad.dataset_description import FILE_NAME, read_description
from brainad.errors import UsageError
from brainad.model_folder import CARD_FILE
from brainad.workspace import Workspace

_log = logging.getLogger(__name__)
ALL = "all"
# Below a fold: what its model says about the cases that it did not learn from.
VALIDATION_FOLDER = "validation"
_TRAINER, _PLANS = "brainadTrainer", "brainadPlans"


def trainer_folder(results: Path, configuration: str) -> Path:
    """Return the folder for all folds of a configuration, named as nnU-Net names it."""
    return results / f"{_TRAINER}__{_PLANS}__{configuration}"


def fold_folder(trainer: Path, fold: str) -> Path:
    """Return the folder of one fold: a number or ``all``."""
    return trainer / f"fold_{fold}"


def name_root(model: Path) -> Path:
    """Return the folder that a model is named from: the results root of a fold, else its parent."""
    trainer = model.parent
    is_fold = model.name.startswith("fold_") and trainer.name.startswith(f"{_TRAINER}__{_PLANS}__")
    return trainer.parent.parent if is_fold else trainer


def trained_folds(trainer: Path) -> list[str]:
    """Return the folds that hold a model, ``all`` first."""
    found = [path.parent.name.removeprefix("fold_") for path in trainer.glob(f"fold_*/{CARD_FILE}")]
    return sorted(found, key=lambda fold: (fold != ALL, fold))


def trained_configurations(results: Path) -> dict[str, list[str]]:
    """Return the configurations that hold a model, and the folds of each."""
    prefix = trainer_folder(results, "").name
    trainers = sorted(results.glob(f"{prefix}*"))
    found = {path.name.removeprefix(prefix): trained_folds(path) for path in trainers}
    return {name: folds for name, folds in found.items() if folds}


def dataset_name(workspace: Workspace, identifier: str) -> str:
    """Return the full name of a dataset that has models, whether or not its scans are here.

    Raises:
        UsageError: nothing is trained under that name, and there is no such raw dataset.
    """
    trained = workspace.trained_datasets(identifier)
    return trained[0].name if len(trained) == 1 else workspace.dataset_folder(identifier).name


def dataset_channels(workspace: Workspace, identifier: str | None) -> Mapping[int, str]:
    """Return what the numbers of file names mean in a dataset; nothing if it is not here.

    New scans of a dataset are numbered like those that were learnt from, and often come without a
    dataset.json of their own.

    Args:
        workspace: with the raw datasets.
        identifier: number or name, or None.
    """
    if identifier is None:
        return {}
    try:
        described = workspace.dataset_folder(identifier) / FILE_NAME
    except UsageError:  # models can be here without the scans
        return {}
    return read_description(described).channel_names if described.is_file() else {}


def find_model(path: Path, fold: str | None = None) -> Path:
    """Find the model folder that a path means: itself, or a fold below it.

    Args:
        path: a model folder, or a trainer folder with folds.
        fold: which one; None takes ``all``, else the first.

    Raises:
        UsageError: there is no model, or not that fold.
    """
    if (path / CARD_FILE).is_file() and (fold is None or path == fold_folder(path.parent, fold)):
        return path
    folds = trained_folds(path)
    if not folds or (fold is not None and fold not in folds):
        wanted = "model" if fold is None else f"fold {fold}"
        raise UsageError(
            f"no trained {wanted} here; found {', '.join(folds) or 'none'}",
            str(path),
            "train it with brainad_train, or give the folder that brainad_train or "
            "brainad_build_bank wrote",
        )
    chosen = fold or folds[0]
    if fold is None and len(folds) > 1:
        _log.info("fold %s answers; others here: %s", chosen, ", ".join(folds[1:]))
    return fold_folder(path, chosen)
