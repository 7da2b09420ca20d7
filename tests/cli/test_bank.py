from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from brainad.cli import predict as predict_module
from brainad.cli.bank import main
from brainad.files import read_csv, read_json
from brainad.inference.outputs import PATIENT_COLUMNS

Command = Callable[..., tuple[int, str, str]]

HEALTHY = ("000", "001", "002", "004", "005")


@pytest.fixture
def healthy(phantom_dataset: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "healthy"
    folder.mkdir()
    for number in HEALTHY:
        source = phantom_dataset / "imagesTr" / f"phantom_{number}_0000.nii.gz"
        shutil.copy2(source, folder / f"person_{number}_T2.nii.gz")
    return folder


@pytest.mark.slow
def test_a_bank_is_built_kept_and_used(
    command: Command,
    healthy: Path,
    phantom_dataset: Path,
    tmp_path: Path,
    planned_quickly: None,  # noqa: ARG001
) -> None:
    bank = tmp_path / "bank"
    flags = ("-i", healthy, "-o", bank, "-np", "1", "-device", "cpu")
    code, shown, _ = command(main, *flags, "-fpr", "0.4")
    assert code == 0
    rate = "5 held-out healthy cases at a false positive rate of 0.4"
    assert shown == f"{bank}: 5 scans; thresholds from {rate}\n"
    strict = read_json(bank / "calibration.json")["patient_threshold"]

    code, _, messages = command(main, *flags)
    assert code == 2
    assert "the bank exists already" in messages
    assert "choose a new name or --overwrite" in messages
    code, _, messages = command(main, *flags, "--overwrite")
    assert code == 0
    assert "encode 5/5  person_005 kept" in messages
    assert read_json(bank / "calibration.json")["source"].endswith("0.05")
    assert read_json(bank / "calibration.json")["patient_threshold"] > strict

    new = tmp_path / "new"
    new.mkdir()
    shutil.copy2(phantom_dataset / "imagesTr" / "phantom_003_0000.nii.gz", new / "x_T2.nii.gz")
    for number, flag in enumerate(("-bank", "-m")):
        out = tmp_path / f"out{number}"
        asked = ("-i", new, "-o", out, flag, bank, "-np", "1", "--no_report")
        assert command(predict_module.main, *asked)[0] == 0
        (row,) = read_csv(out / "patient_scores.csv", PATIENT_COLUMNS)
        assert row["case_id"] == "x"
        assert float(row["p_value"]) == pytest.approx(1 / 6, abs=1e-5)


@pytest.mark.parametrize("rate", ["0", "1", "-0.1"])
def test_a_rate_is_a_share(command: Command, healthy: Path, tmp_path: Path, rate: str) -> None:
    code, _, messages = command(main, "-i", healthy, "-o", tmp_path / "bank", "-fpr", rate)
    assert code == 2
    assert "choose a rate between 0 and 1" in messages


def test_too_few_scans_make_no_bank(
    command: Command, healthy: Path, tmp_path: Path, weights_folder: Path
) -> None:
    for number in HEALTHY[1:]:
        (healthy / f"person_{number}_T2.nii.gz").unlink()
    plans = []
    for budget in ("1", "1000"):
        code, _, messages = command(
            main, "-i", healthy, "-o", tmp_path / budget, "-np", "1", "-device", "cpu",
            "-seconds_per_case", budget, "--weights", weights_folder,
        )  # fmt: skip
        assert code == 2
        assert "1 usable case; codegraph3d compares scans with each other" in messages
        assert not (tmp_path / budget).exists()
        plan = read_json(tmp_path / f"{budget}.work" / "plans.json")
        plans.append(plan["configurations"]["codegraph3d"]["slices_per_block"])
    assert plans[0] < plans[1]


def test_weights_are_looked_for_where_the_flag_says(
    command: Command, healthy: Path, tmp_path: Path
) -> None:
    flags = ("-device", "cpu", "--weights", tmp_path / "empty")
    code, _, messages = command(main, "-i", healthy, "-o", tmp_path / "bank", *flags)
    assert code == 2
    assert "no weights found for encoder dinov2_vits14" in messages


def test_a_bank_that_cannot_be_written_is_named(
    command: Command, healthy: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    code, _, messages = command(main, "-i", healthy, "-o", tmp_path / "file" / "bank")
    assert code == 2
    assert f"ERROR  cannot write here: Not a directory\n  where  {tmp_path / 'file'}" in messages
