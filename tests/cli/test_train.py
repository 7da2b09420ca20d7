from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from brainad.cli import train as train_module
from brainad.cli.train import main
from brainad.files import read_json, write_json
from brainad.pipeline.dataset import PLAN_FILE, DatasetWork
from brainad.pipeline.train import TrainingOptions, TrainingReport
from brainad.plan import Resources
from brainad.prediction import Calibration

Command = Callable[..., tuple[int, str, str]]
CALIBRATION = Calibration(0.4, 0.6, "8 held-out healthy cases", (0.1, 0.2))


@dataclass
class Training:
    """Stands for a training that takes no time, and remembers what was asked for."""

    options: list[TrainingOptions] = field(default_factory=list)
    folds: list[tuple[Any, ...]] = field(default_factory=list)
    calibration: Calibration | None = CALIBRATION

    def fold(self, *place: Any) -> Any:
        self.folds.append(place)
        made = replace(self)
        made.folder = place[2] / f"fold_{place[-1]}"  # type: ignore[attr-defined]
        return made

    def run(self, fold: Any, resources: Resources, options: TrainingOptions, _watch: Any) -> Any:
        assert resources.device == "cpu"
        self.options.append(options)
        return TrainingReport(fold.folder, not options.validate_only, 8, 2, self.calibration)


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Training:
    made = Training()
    monkeypatch.setattr(train_module, "Fold", made.fold)
    monkeypatch.setattr(train_module, "train_fold", made.run)
    return made


@pytest.fixture
def flags(phantom_work: DatasetWork, tmp_path: Path) -> tuple[str | Path, ...]:
    roots = ("--preprocessed", phantom_work.derived.parent, "--results", tmp_path / "results")
    return (phantom_work.raw, *roots, "-device", "cpu")


def ask(flags: tuple[str | Path, ...], *more: str) -> tuple[str | Path, ...]:
    return (flags[0], *more, *flags[1:])


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ((), TrainingOptions()),
        (("--c",), TrainingOptions()),
        (("--continue_training", "-tr", "nnUNetTrainer"), TrainingOptions()),
        (("--val",), TrainingOptions(validate_only=True)),
        (("-seed", "8", "--overwrite"), TrainingOptions(seed=8, overwrite=True)),
        (("-fpr", "0.2"), TrainingOptions(fpr=0.2)),
    ],
)
def test_flags_reach_the_training(
    command: Command,
    training: Training,
    flags: tuple[str | Path, ...],
    more: tuple[str, ...],
    expected: TrainingOptions,
) -> None:
    code, shown, _ = command(main, *ask(flags, "anyad", "0"), *more)
    assert code == 0
    assert training.options == [expected]
    state = "was trained before" if expected.validate_only else "trained"
    assert f"fold_0: {state} on 8 cases, 2 held out" in shown
    assert "thresholds: 8 held-out healthy cases" in shown


def test_fold_all_and_the_planned_method_are_the_defaults(
    command: Command, training: Training, flags: tuple[str | Path, ...], phantom_work: DatasetWork
) -> None:
    planned = read_json(phantom_work.derived / PLAN_FILE)["default_configuration"]
    code, shown, messages = command(main, *flags)
    assert code == 0
    assert training.folds[0][-2:] == (planned, "all")
    assert f"configuration {planned}, the default of the plan" in messages
    assert f"-c {planned}" in shown


def test_a_training_may_leave_no_thresholds(
    command: Command, training: Training, flags: tuple[str | Path, ...]
) -> None:
    training.calibration = None
    code, shown, _ = command(main, *ask(flags, "anyad", "1"))
    assert code == 0
    assert "thresholds: none" in shown


def test_a_dataset_without_a_plan_is_told(
    command: Command, phantom_work: DatasetWork, tmp_path: Path
) -> None:
    code, _, messages = command(main, phantom_work.raw, "--preprocessed", tmp_path)
    assert code == 2
    assert "the dataset is not planned yet" in messages
    write_json(tmp_path / phantom_work.raw.name / PLAN_FILE, {"format_version": 1})
    assert command(main, phantom_work.raw, "--preprocessed", tmp_path)[0] == 2
