from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from brainad.cli.evaluate import main
from brainad.files import read_json, write_text
from brainad.inference.outputs import OutputFolder

Command = Callable[..., tuple[int, str, str]]


def test_metrics_are_shown_by_level_and_written(
    command: Command, predicted: Path, phantom_dataset: Path
) -> None:
    code, shown, messages = command(main, phantom_dataset, predicted)
    assert code == 0
    assert "evaluate 7/7" in messages
    rows = [line.split() for line in shown.splitlines()]
    found = {(row[0], row[1]) for row in rows if len(row) == 3}
    assert {("patient", "AUROC"), ("slice", "AUROC"), ("voxel", "AUPRO")} <= found
    assert {("voxel", "oracle_best_dice"), ("voxel", "best_dice")} & found
    assert f"written to {predicted / 'summary.json'}" in shown
    table = read_json(predicted / "summary.json")
    assert table["n_cases"] == {"expected": 7, "evaluated": 7, "missing": 0, "failed": 0}
    assert (table["patient_level"]["n_healthy"], table["patient_level"]["n_unhealthy"]) == (5, 2)


def test_a_missing_prediction_counts_as_a_failure(
    command: Command, predicted: Path, phantom_dataset: Path
) -> None:
    output = OutputFolder(predicted)
    output.mask_path("phantom_003").unlink()
    code, _, _ = command(main, phantom_dataset, predicted)
    assert code == 3
    table = read_json(predicted / "summary.json")
    assert table["n_cases"] == {"expected": 7, "evaluated": 6, "missing": 1, "failed": 0}
    case = next(each for each in table["metric_per_case"] if each["case_id"] == "phantom_003")
    assert case["metrics"]["1"]["Dice"] == 0


def test_healthy_cases_without_masks_are_named_by_a_table(
    command: Command, predicted: Path, phantom_dataset: Path, tmp_path: Path
) -> None:
    masks = Path(shutil.copytree(phantom_dataset / "labelsTr", tmp_path / "masks"))
    table = tmp_path / "elsewhere" / "people.csv"
    write_text(table, "case_id,label\nphantom_000,healthy\n")
    assert command(main, masks, predicted)[0] == 0
    assert read_json(predicted / "summary.json")["n_cases"]["expected"] == 2
    assert command(main, masks, predicted, "-cases", table)[0] == 0
    found = read_json(predicted / "summary.json")
    assert found["n_cases"]["expected"] == 3
    assert found["by_group"]["healthy"]["n_cases"] == 1
    write_text(table, "case_id,label\nphantom_000,fine\n")
    code, _, messages = command(main, masks, predicted, "-cases", table)
    assert code == 2
    assert "label 'fine'" in messages


def test_folders_that_do_not_exist_are_named(
    command: Command, predicted: Path, phantom_dataset: Path, tmp_path: Path
) -> None:
    for arguments in ((phantom_dataset, tmp_path / "absent"), (tmp_path / "absent", predicted)):
        code, _, messages = command(main, *arguments)
        assert code == 2
        assert "no such folder" in messages
        assert str(tmp_path / "absent") in messages
