from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainad.cli import predict as predict_module
from brainad.cli.predict import main
from brainad.errors import DataError
from brainad.files import read_csv, read_json, write_json
from brainad.inference.outputs import FAILURE_COLUMNS, PATIENT_COLUMNS, OutputFolder
from brainad.methods.codegraph3d.method import CoDeGraph3D
from brainad.nifti import read_volume
from brainad.pipeline.dataset import DatasetWork
from brainad.pipeline.executors import Processes

Command = Callable[..., tuple[int, str, str]]
ResultsOf = Callable[[Path], dict[str, bytes]]

NAMES = [f"phantom_{number:03d}" for number in range(7)]


def patients(folder: Path) -> dict[str, dict[str, str]]:
    return {row["case_id"]: row for row in read_csv(folder / "patient_scores.csv", PATIENT_COLUMNS)}


def kept_times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.n*z")}


@pytest.fixture
def scans(phantom_work: DatasetWork) -> Path:
    return phantom_work.raw / "imagesTr"


@pytest.fixture
def planned(phantom_work: DatasetWork) -> tuple[str | Path, ...]:
    """Name the plan and the prepared cases of the 7 heads, and one process."""
    roots = ("--preprocessed", phantom_work.derived.parent)
    return ("-d", phantom_work.raw, "-c", "codegraph3d", *roots, "-np", "1", "--no_report")


def test_a_finished_folder_is_kept_and_summed_up(
    command: Command,
    scans: Path,
    predicted: Path,
    planned: tuple[str | Path, ...],
    results_of: ResultsOf,
) -> None:
    before, results = kept_times(predicted), results_of(predicted)
    for flags in ((), ("--continue_prediction",)):
        code, shown, messages = command(main, "-i", scans, "-o", predicted, *planned, *flags)
        assert code == 0
        lines = shown.splitlines()
        assert lines[0].split() == [
            "case_id", "score", "prediction", "anomalous_volume_mm3", "status",
        ]  # fmt: skip
        assert sorted(line.split()[0] for line in lines[2:]) == NAMES
        assert "restore 7/7" in messages
        assert "kept" in messages
        assert kept_times(predicted) == before
        assert results_of(predicted) == results
    log = (predicted / ".brainad" / "log_part000.txt").read_text()
    assert log.count("INFO 7 cases in") == 2


def test_what_the_run_leaves_for_machines(
    command: Command, scans: Path, predicted: Path, planned: tuple[str | Path, ...]
) -> None:
    command(main, "-i", scans, "-o", predicted, *planned, "-min_size_mm3", "12")
    report = read_json(predicted / "run_report.json")
    assert report["cases"] == {"done": 7, "failed": 0, "pending": 0}
    arguments = read_json(predicted / "predict_from_raw_data_args.json")
    assert arguments["min_size_mm3"] == report["options"]["min_size_mm3"] == 12
    assert not {"i", "o"} & set(arguments)
    assert str(scans) not in json.dumps([arguments, report])
    assert read_json(predicted / "dataset.json")["channel_names"] == {"0": "T2"}
    assert not (predicted / "report.html").exists()
    on_top = {path.name for path in predicted.iterdir() if path.name.endswith(".nii.gz")}
    assert on_top == {f"{name}.nii.gz" for name in NAMES}


def test_new_scans_are_numbered_like_those_that_were_learnt_from(
    command: Command, scans: Path, planned: tuple[str | Path, ...], tmp_path: Path
) -> None:
    new = tmp_path / "new"
    new.mkdir()
    (new / "p_0000.nii.gz").symlink_to(scans / "phantom_000_0000.nii.gz")
    write_json(tmp_path / "model" / "model_card.json", {"channel_names": {"0": "FLAIR"}})
    with_model = ("-m", tmp_path / "model")
    for flags, channel in (((), "CHANNEL0"), (planned, "T2"), (with_model, "FLAIR")):
        code, shown, _ = command(main, "-i", new, "-o", tmp_path / "out", "--dry_run", *flags)
        assert code == 0
        assert shown.splitlines()[-1].split() == ["p", channel, "do"]


@pytest.mark.slow
def test_without_the_flag_there_is_a_report(
    command: Command, scans: Path, predicted: Path, planned: tuple[str | Path, ...]
) -> None:
    code, _, messages = command(main, "-i", scans, "-o", predicted, *planned[:-1])
    assert code == 0
    page = (predicted / "report.html").read_text()
    assert all(name in page for name in NAMES)
    assert f"report: {predicted / 'report.html'}" in messages


def test_thresholds_and_the_smallest_size_decide_what_is_in_a_mask(
    command: Command,
    scans: Path,
    predicted: Path,
    planned: tuple[str | Path, ...],
    tmp_path: Path,
) -> None:
    source = "a test"
    thresholds = {"map_threshold": 1e-6, "patient_threshold": 1e9, "source": source}
    write_json(tmp_path / "low.json", {**thresholds, "healthy_scores": []})
    flags = ("-i", scans, "-o", predicted, *planned, "-calibration", tmp_path / "low.json")
    code, _, messages = command(main, *flags)
    assert code == 0
    assert "thresholds from a test" in messages
    assert "7 cases are delivered again" in messages
    assert "scored again" not in messages
    for row in patients(predicted).values():
        assert float(row["anomalous_volume_mm3"]) > 1e5
        assert row["prediction"] == "0"
    assert command(main, *flags, "-min_size_mm3", "1e9")[0] == 0
    for name, row in patients(predicted).items():
        assert float(row["anomalous_volume_mm3"]) == 0
        assert not read_volume(predicted / f"{name}.nii.gz").data.any()


def test_thresholds_that_cannot_be_read_stop_everything_at_once(
    command: Command, scans: Path, tmp_path: Path, planned: tuple[str | Path, ...]
) -> None:
    write_json(tmp_path / "bad.json", {"map_threshold": 1})
    flags = ("-calibration", tmp_path / "bad.json")
    code, _, messages = command(main, "-i", scans, "-o", tmp_path / "out", *planned, *flags)
    assert code == 2
    assert "not a valid Calibration: patient_threshold" in messages
    assert not (tmp_path / "out" / ".brainad" / "prepared").exists()


def test_overwriting_does_everything_again_with_the_same_result(
    command: Command,
    scans: Path,
    predicted: Path,
    planned: tuple[str | Path, ...],
    results_of: ResultsOf,
) -> None:
    before, results = kept_times(predicted), results_of(predicted)
    code, _, messages = command(main, "-i", scans, "-o", predicted, *planned, "--overwrite")
    assert code == 0
    assert "kept" not in messages
    after = kept_times(predicted)
    assert before.keys() == after.keys()
    assert all(after[path] > time for path, time in before.items())
    assert results_of(predicted) == results


def test_a_dry_run_only_says_what_would_be_done(
    command: Command, scans: Path, predicted: Path, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in predicted.rglob("*")}
    code, shown, _ = command(main, "-i", scans, "-o", predicted, "--dry_run")
    assert code == 0
    assert shown.count("keep if unchanged") == 7
    assert {path: path.stat().st_mtime_ns for path in predicted.rglob("*")} == before
    assert command(main, "-i", scans, "-o", tmp_path / "new", "--dry_run")[1].count("T2") == 7
    assert not (tmp_path / "new").exists()


def test_with_fail_fast_the_first_failed_case_is_the_last(
    command: Command,
    scans: Path,
    predicted: Path,
    planned: tuple[str | Path, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.rmtree(predicted / ".brainad" / "encodings")
    encode = CoDeGraph3D.encode

    def fail(method: CoDeGraph3D, case: Any) -> Any:
        if case.case_id in ("phantom_001", "phantom_004"):
            raise DataError("too dark", case.case_id, "scan again")
        return encode(method, case)

    monkeypatch.setattr(CoDeGraph3D, "encode", fail)
    code, _, messages = command(main, "-i", scans, "-o", predicted, *planned, "--fail_fast")
    assert code == 3
    assert "ERROR  too dark\n  where  phantom_001\n  fix    scan again" in messages
    failed = read_csv(predicted / "failed_cases.csv", FAILURE_COLUMNS)
    assert [row["case_id"] for row in failed] == ["phantom_001"]
    encoded = {path.stem for path in (predicted / ".brainad" / "encodings").iterdir()}
    assert encoded == {"phantom_000"}
    code, _, _ = command(main, "-i", scans, "-o", predicted, *planned)
    assert code == 3
    failed = read_csv(predicted / "failed_cases.csv", FAILURE_COLUMNS)
    assert [row["case_id"] for row in failed] == ["phantom_001", "phantom_004"]
    assert [row["status"] for row in patients(predicted).values()].count("failed") == 2


def test_with_fail_fast_a_case_that_fails_the_checks_is_enough(
    command: Command, scans: Path, tmp_path: Path, planned: tuple[str | Path, ...]
) -> None:
    source = tmp_path / "in"
    shutil.copytree(scans, source)
    (source / "phantom_002_0000.nii.gz").write_bytes(b"no scan")
    flags = ("-i", source, "-o", tmp_path / "out", *planned, "--fail_fast")
    code, _, messages = command(main, *flags)
    assert code == 3
    assert "ERROR  not a readable NIfTI file" in messages
    assert "phantom_002_0000.nii.gz" in messages
    failed = read_csv(tmp_path / "out" / "failed_cases.csv", FAILURE_COLUMNS)
    assert [row["case_id"] for row in failed] == ["phantom_002"]
    assert not (tmp_path / "out" / ".brainad" / "prepared").exists()
    shutil.copy2(scans / "phantom_002_0000.nii.gz", source)
    shutil.copy2(source / "phantom_002_0000.nii.gz", source / "phantom_002_0000.nii")
    code, _, messages = command(main, *flags)
    assert code == 3
    assert "ERROR  2 files claim to be channel" in messages


def test_a_part_without_cases_ends_well(
    command: Command,
    scans: Path,
    predicted: Path,
    planned: tuple[str | Path, ...],
    phantom_bank: Path,
    tmp_path: Path,
) -> None:
    idle = ("-num_parts", "9", "-part_id", "8")
    said = "part 8 of 9 has nothing to prepare: there are only 7 cases"
    (predicted / ".brainad" / "encodings" / "phantom_001.npz").unlink()
    code, _, messages = command(main, "-i", scans, "-o", predicted, *planned, *idle)
    assert code == 0
    assert said in messages
    assert "1 cases wait for other parts: phantom_001" in messages
    flags = ("-i", scans, "-o", tmp_path / "out", "-bank", phantom_bank, "-np", "1", *idle)
    code, _, messages = command(main, *flags)
    assert code == 0
    assert said in messages
    assert "ERROR" not in messages
    assert patients(tmp_path / "out") == {}
    assert list((tmp_path / "out").glob("*.nii.gz")) == []
    report = read_json(tmp_path / "out" / "run_report.json")
    assert report["cases"] == {"done": 0, "failed": 0, "pending": 7}


def test_file_numbers_can_be_given_a_meaning(
    command: Command, scans: Path, tmp_path: Path, planned: tuple[str | Path, ...]
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    shutil.copy2(scans / "phantom_000_0000.nii.gz", source)
    alone = ("-i", source, "-o", tmp_path / "alone", "-np", "1", "--no_report")
    code, _, messages = command(main, *alone)
    assert code == 2
    assert "the contrast of CHANNEL0 is not known" in messages
    flags = ("-i", source, "-o", tmp_path / "out", *planned)
    code, _, messages = command(main, *flags, "--channel_map", "T1=_0000")
    assert code == 3
    assert "phantom_000_0000.nii.gz is channel T1 of case phantom_000" in messages
    assert "none of the 1 cases can be used" in messages
    for named in ((), ("--channel_map", "T2=_0000")):
        code, _, messages = command(main, *flags, *named)
        assert code == 2
        assert "phantom_000_0000.nii.gz is channel T2 of case phantom_000" in messages
        assert "1 usable case;" in messages
    for text in ("T2", "T2=", "=_0000"):
        code, _, messages = command(main, *flags, "--channel_map", text)
        assert code == 2
        assert f"{text!r} is not a channel map" in messages


def test_parts_wait_for_each_other(
    command: Command, scans: Path, predicted: Path, planned: tuple[str | Path, ...]
) -> None:
    (predicted / ".brainad" / "encodings" / "phantom_001.npz").unlink()
    flags = ("-i", scans, "-o", predicted, *planned, "-num_parts", "2", "-part_id")
    code, _, messages = command(main, *flags, "0")
    assert code == 0
    assert "1 cases wait for other parts: phantom_001" in messages
    assert read_json(predicted / "run_report.json")["cases"]["pending"] == 1
    code, _, messages = command(main, *flags, "1")
    assert code == 0
    assert "wait for other parts" not in messages
    for part in (0, 1):
        arguments = read_json(predicted / f"predict_from_raw_data_args_part00{part}of002.json")
        assert arguments["part_id"] == part
        assert (predicted / ".brainad" / f"log_part00{part}.txt").is_file()
    assert command(main, *flags, "2")[0] == 2


def test_the_table_says_where_it_was_computed(
    command: Command,
    scans: Path,
    predicted: Path,
    planned: tuple[str | Path, ...],
) -> None:
    OutputFolder(predicted).map_path("phantom_002").unlink()
    assert command(main, "-i", scans, "-o", predicted, *planned, "-device", "cpu")[0] == 0
    assert patients(predicted)["phantom_002"]["device"] == "cpu"
    code, _, messages = command(main, "-i", scans, "-o", predicted, *planned, "-device", "abacus")
    assert code == 2
    assert "unknown device 'abacus'" in messages


def test_the_number_of_processes_reaches_the_run(
    command: Command,
    scans: Path,
    tmp_path: Path,
    planned: tuple[str | Path, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def stop(*values: Any) -> None:
        seen.append(values[3].executor)
        raise DataError("enough")

    monkeypatch.setattr(predict_module, "predict_folder", stop)
    assert command(main, "-i", scans, "-o", tmp_path, *planned, "-np", "5")[0] == 3
    assert seen == [Processes(5)]


@pytest.fixture
def one_scan(scans: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "one"
    folder.mkdir()
    shutil.copy2(scans / "phantom_000_0000.nii.gz", folder / "a_T2.nii.gz")
    return folder


def test_without_a_dataset_the_time_budget_shapes_the_plan(
    command: Command, one_scan: Path, tmp_path: Path
) -> None:
    slices = []
    for budget in ("1", "1000"):
        out = tmp_path / budget
        flags = ("-i", one_scan, "-o", out, "-device", "cpu", "-seconds_per_case", budget)
        code, _, messages = command(main, *flags, "-c", "codegraph3d")
        assert code == 2
        assert "1 usable case" in messages
        assert "plan: codegraph3d: slices per block = " in messages
        slices.append(read_json(out / "plans.json")["configurations"]["codegraph3d"])
    assert slices[0]["slices_per_block"] < slices[1]["slices_per_block"]


def test_missing_weights_are_named_with_the_ways_to_get_them(
    command: Command, one_scan: Path, tmp_path: Path
) -> None:
    flags = ("-device", "cpu", "--weights", tmp_path / "empty")
    code, _, messages = command(main, "-i", one_scan, "-o", tmp_path / "out", *flags)
    assert code == 2
    assert "no weights found for encoder dinov2_vits14" in messages
    assert f"  where  {tmp_path / 'empty' / 'dinov2_vits14'}" in messages
    assert "one of three: run `brainad_download_weights dinov2_vits14`" in messages


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("-c", "3d_fullres"), "no configuration '3d_fullres'"),
        (("-bank", "x", "-c", "codegraph3d"), "holds its own plan and configuration"),
        (("-m", "x", "-d", "501"), "holds its own plan and configuration"),
        (("-bank", "x"), "x"),
        (("-d", "999", "--raw", "absent"), "no dataset '999'; found: none"),
        (("-calibration", "absent.json"), "file not found"),
        (("-i", "absent"), "no such folder"),
    ],
)
def test_what_is_wrong_with_the_command_is_said_before_anything_starts(
    command: Command, one_scan: Path, tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    code, shown, messages = command(main, "-i", one_scan, "-o", tmp_path / "out", *flags)
    assert (code, shown) == (2, "")
    assert "ERROR  " in messages
    assert message in messages
    assert "  fix    " in messages
    assert not (tmp_path / "out" / ".brainad" / "prepared").exists()


def test_a_dataset_needs_a_plan(
    command: Command, phantom_work: DatasetWork, tmp_path: Path
) -> None:
    code, _, messages = command(
        main, "-i", phantom_work.raw / "imagesTr", "-o", tmp_path / "out", "-d", "501",
        "--raw", phantom_work.raw.parent, "--preprocessed", tmp_path / "empty",
    )  # fmt: skip
    assert code == 2
    assert "ERROR  there is no plan" in messages
    assert str(tmp_path / "empty" / phantom_work.raw.name) in messages


def test_datasets_are_also_looked_for_among_what_was_made_of_them(
    command: Command, phantom_work: DatasetWork, tmp_path: Path
) -> None:
    for root in ("preprocessed", "results"):
        (tmp_path / root / "Dataset501_Other").mkdir(parents=True)
        code, _, messages = command(
            main, "-i", phantom_work.raw / "imagesTr", "-o", tmp_path / "out", "-d", "501",
            "--raw", phantom_work.raw.parent, f"--{root}", tmp_path / root,
        )  # fmt: skip
        assert code == 2
        assert "Dataset501_Other" in messages


def test_scans_are_never_written_over(command: Command, one_scan: Path) -> None:
    code, _, messages = command(main, "-i", one_scan, "-o", one_scan)
    assert code == 2
    assert "input and output folder are the same" in messages
    assert [path.name for path in one_scan.iterdir() if path.is_file()] == ["a_T2.nii.gz"]


def test_long_tables_are_cut_on_the_screen_only(
    command: Command,
    scans: Path,
    predicted: Path,
    planned: tuple[str | Path, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predict_module, "_SHOWN", 3)
    shown = command(main, "-i", scans, "-o", predicted, *planned)[1].splitlines()
    assert len(shown) == 2 + 3 + 1
    assert shown[-1] == f"... and 4 more in {predicted / 'patient_scores.csv'}"
    scores = [float(line.split()[1]) for line in shown[2:5]]
    assert np.all(np.diff(scores) <= 0)
