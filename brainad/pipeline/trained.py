"""Where trained models of a dataset are: ``brainadTrainer__brainadPlans__METHOD/fold_X``."""

from __future__ import annotations

from pathlib import Path

_PREFIX = "brainadTrainer__brainadPlans__"
VALIDATION_FOLDER = "validation"


def fold_folder(results: Path, configuration: str, fold: str) -> Path:
    """Return the model folder of one fold.

    Args:
        results: folder of the dataset in the results root.
        configuration: name of the method.
        fold: ``0``, ``1``, … or ``all``.
    """
    return results / f"{_PREFIX}{configuration}" / f"fold_{fold}"


def trained_folds(results: Path) -> dict[str, list[str]]:
    """Return the configurations that have a finished model, and the folds of each."""
    found: dict[str, list[str]] = {}
    for card in sorted(results.glob(f"{_PREFIX}*/fold_*/model_card.json")):
        configuration = card.parents[1].name.removeprefix(_PREFIX)
        fold = card.parent.name.removeprefix("fold_")
        found.setdefault(configuration, []).append(fold)
    return found
