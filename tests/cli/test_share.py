from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from brainad import model_folder
from brainad.cli.share import export_main, install_main
from brainad.model_folder import StoredModel
from brainad.pipeline.trained import fold_folder, trainer_folder
from brainad.plan import Plan

Command = Callable[..., tuple[int, str, str]]
NAME = "Dataset501_Heads"


@pytest.fixture
def results(tmp_path: Path, plan: Plan) -> Path:
    """Make a results root with the folds 0 and 1 of codegraph3d."""
    root = tmp_path / "results"
    trainer = trainer_folder(root / NAME, "codegraph3d")
    state = {"tokens": np.zeros((2, 3), np.float32)}
    for fold in ("0", "1"):
        stored = StoredModel(plan, "codegraph3d", state, None, {"licence": "MIT", "fold": fold})
        model_folder.write(fold_folder(trainer, fold), stored)
    return root


@pytest.fixture
def dataset(results: Path) -> tuple[str | Path, ...]:
    return ("-d", "501", "-c", "codegraph3d", "--results", results)


def folds_below(root: Path) -> list[str]:
    trainer = trainer_folder(root / NAME, "codegraph3d")
    return sorted(path.name for path in trainer.glob("fold_*"))


def test_all_folds_or_some_travel(
    command: Command, dataset: tuple[str | Path, ...], tmp_path: Path
) -> None:
    for chosen, expected in (((), ["fold_0", "fold_1"]), (("-f", "1"), ["fold_1"])):
        archive, target = tmp_path / f"{len(chosen)}.zip", tmp_path / f"target{len(chosen)}"
        code, shown, _ = command(export_main, *dataset, *chosen, "-o", archive)
        assert code == 0
        assert shown.startswith(f"{archive}: folds ")
        code, shown, _ = command(install_main, archive, "--results", target)
        assert code == 0
        assert "installed" in shown
        assert "licence  MIT" in shown
        assert folds_below(target) == expected


def test_a_fold_given_by_its_folder_keeps_its_place(
    command: Command, results: Path, tmp_path: Path
) -> None:
    fold = fold_folder(trainer_folder(results / NAME, "codegraph3d"), "1")
    archive, target = tmp_path / "one.zip", tmp_path / "target"
    assert command(export_main, "-m", fold, "-o", archive)[0] == 0
    assert command(install_main, archive, "--results", target)[0] == 0
    assert folds_below(target) == ["fold_1"]


def test_folds_that_are_not_trained_are_told(
    command: Command, dataset: tuple[str | Path, ...], tmp_path: Path
) -> None:
    archive = tmp_path / "models.zip"
    code, _, messages = command(export_main, *dataset, "-f", "1", "4", "-o", archive)
    assert code == 2
    assert "folds 4 are not trained; found 0, 1" in messages
    assert not archive.exists()
    code, shown, _ = command(export_main, *dataset, "-f", "1", "4", "--not_strict", "-o", archive)
    assert code == 0
    assert f"{archive}: folds 1 of" in shown


def test_a_zip_can_be_checked_alone(
    command: Command, dataset: tuple[str | Path, ...], tmp_path: Path
) -> None:
    archive, target = tmp_path / "models.zip", tmp_path / "target"
    command(export_main, *dataset, "-o", archive)
    code, shown, _ = command(install_main, archive, "--results", target, "--check_only")
    assert code == 0
    assert shown.count("checked ") == 2
    assert folds_below(target) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "give either -m, or -d with -c"),
        (("-d", "501", "-m", "folder"), "give either -m, or -d with -c"),
        (("-d", "501"), "-c is missing"),
    ],
)
def test_what_to_export_must_be_clear(
    command: Command, tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    code, _, messages = command(export_main, *flags, "-o", tmp_path / "models.zip")
    assert code == 2
    assert message in messages
