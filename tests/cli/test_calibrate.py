from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from brainad.cli.calibrate import main
from brainad.files import read_json

Command = Callable[..., tuple[int, str, str]]


def test_thresholds_are_shown_stored_and_explained(
    command: Command, predicted: Path, phantom_dataset: Path, tmp_path: Path
) -> None:
    code, shown, _ = command(main, "-i", predicted, "-ref", phantom_dataset)
    assert code == 0
    stored = read_json(predicted / "calibration.json")
    source = "5 held-out healthy cases at a false positive rate of 0.05"
    assert stored["source"] == source
    assert f"from {source}" in shown
    assert f"patient    {stored['patient_threshold']:.4g}" in shown
    assert f"brainad_predict ... -calibration {predicted / 'calibration.json'}" in shown

    flags = ("-target", "fpr=0.5", "-o", tmp_path / "mine.json")
    assert command(main, "-i", predicted, "-ref", phantom_dataset, *flags)[0] == 0
    mine = read_json(tmp_path / "mine.json")
    assert mine["patient_threshold"] < stored["patient_threshold"]
    assert mine["healthy_scores"] == stored["healthy_scores"]


@pytest.mark.parametrize("target", ["0.05", "fpr", "fpr=0", "fpr=1", "fpr=x", "f1"])
def test_a_target_that_makes_no_sense_is_refused(
    command: Command, predicted: Path, phantom_dataset: Path, target: str
) -> None:
    flags = ("-i", predicted, "-ref", phantom_dataset, "-target", target)
    code, _, messages = command(main, *flags)
    assert code == 2
    assert f"{target!r} is not a target" in messages
    assert "give fpr=RATE, such as fpr=0.05" in messages
    assert not (predicted / "calibration.json").exists()


def test_without_healthy_cases_there_are_no_thresholds(
    command: Command, phantom_dataset: Path, tmp_path: Path
) -> None:
    code, _, messages = command(main, "-i", tmp_path, "-ref", phantom_dataset)
    assert code == 2
    assert "5 cases are known to be healthy, none of them is predicted here" in messages


def test_a_file_that_cannot_be_written_is_named(
    command: Command, predicted: Path, phantom_dataset: Path
) -> None:
    (predicted / "file").touch()
    flags = ("-o", predicted / "file" / "calibration.json")
    code, _, messages = command(main, "-i", predicted, "-ref", phantom_dataset, *flags)
    assert code == 2
    assert f"  where  {predicted / 'file'}" in messages


def test_a_model_that_does_not_exist_is_noticed_first(
    command: Command, predicted: Path, phantom_dataset: Path, tmp_path: Path
) -> None:
    flags = ("-i", predicted, "-ref", phantom_dataset, "-m", tmp_path / "absent")
    code, _, messages = command(main, *flags)
    assert code == 2
    assert "no trained model here" in messages
    assert not (predicted / "calibration.json").exists()
