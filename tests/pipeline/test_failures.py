"""What goes wrong in practice: every bad input says what, where and what to do; the rest finishes.

Cases 2, 5, 6, 8 and 9 of the pains that users of other tools report.
"""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.cli.predict import main
from brainad.errors import DataError, UsageError
from brainad.files import read_csv, read_json, write_json
from brainad.inference.outputs import FAILURE_COLUMNS, PATIENT_COLUMNS, OutputFolder
from brainad.pipeline.dataset import PLAN_FILE, DatasetWork
from brainad.pipeline.predict import RunReport

Predict = Callable[..., RunReport]
Command = Callable[..., tuple[int, str, str]]
ResultsOf = Callable[[Path], dict[str, bytes]]

_GOOD = 7


def rows(path: Path, columns: tuple[str, ...]) -> dict[str, dict[str, str]]:
    return {row["case_id"]: row for row in read_csv(path, columns)}


def copy_scans(work: DatasetWork, folder: Path, *names: str) -> Path:
    """Copy scans with their times, so that what was made of them still fits."""
    folder.mkdir()
    for path in sorted((work.raw / "imagesTr").iterdir()):
        if not names or path.name.removesuffix("_0000.nii.gz") in names:
            shutil.copy2(path, folder)
    channels = {"channel_names": {"0": "T2", "1": "T1"}, "labels": {"background": 0}}
    write_json(folder / "dataset.json", channels)
    return folder


class Spoiler:
    """Writes files that nobody should get a result for, each made from one good scan."""

    def __init__(self, folder: Path, good: Path) -> None:
        self._folder = folder
        self._bytes = good.read_bytes()
        self._image = nib.nifti1.load(good)
        self._data = np.asarray(self._image.dataobj, dtype=np.float32)

    def _save(self, name: str, data: NDArray[Any], shift_mm: float = 0.0) -> None:
        affine = self._image.affine.copy()
        affine[0, 3] += shift_mm
        nib.save(nib.nifti1.Nifti1Image(data, affine), self._folder / f"{name}.nii.gz")

    def write_all(self) -> None:
        data = self._data
        (self._folder / "truncated_0000.nii.gz").write_bytes(self._bytes[: len(self._bytes) // 2])
        (self._folder / "nothing_0000.nii.gz").touch()
        self._save("film_0000", np.stack([data, data], axis=3))
        self._save("flat_0000", data[:, :, data.shape[2] // 2])
        holes = data.copy()
        holes[3:5, 3:5, 3] = np.nan
        self._save("holes_0000", holes)
        self._save("constant_0000", np.full_like(data, 7))
        # Everything in a header is trusted, so the affine is spoilt where it is stored.
        content = bytearray(gzip.decompress(self._bytes))
        content[280:328] = bytes(48)
        (self._folder / "collapsed_0000.nii.gz").write_bytes(gzip.compress(bytes(content)))
        self._save("moved_0000", data)
        self._save("moved_0001", data, shift_mm=300)
        self._save("other_0001", data)
        centre = np.indices(data.shape) - np.array(data.shape).reshape(3, 1, 1, 1) / 2
        knee = np.clip(4 - np.linalg.norm(centre, axis=0), 0, None) * 100
        self._save("knee_0000", knee.astype(np.float32))
        noise = np.random.default_rng(0).normal(size=data.shape)
        self._save("noise_0000", noise.astype(np.float32))
        self._save("labels_0000", (data > data.mean()).astype(np.float32))
        self._save("twice_0000", data)
        nib.save(self._image, self._folder / "twice_0000.nii")


BAD = {
    "truncated": ("check", "the voxels cannot be read", "copy it again"),
    "nothing": ("check", "not a readable NIfTI file", "copy or convert it again"),
    "film": ("check", "a 4D image of shape", "split it into one file per volume"),
    "flat": ("check", "a 2D image of shape", "split it"),
    "holes": ("check", "channel T2 holds 4 voxels that are not numbers", "find out where"),
    "constant": ("check", "no channel holds an image", "export the scan again"),
    "collapsed": ("check", "impossible geometry", "repair the sform"),
    "moved": ("check", "T2 and T1 show different regions of space", "repair the sform"),
    "other": ("check", "channel T2 is missing or empty; usable are T1", "add the T2 file"),
    "knee": ("check", "heads and brains have 0.2 to 12.0 L", "check that this is a brain scan"),
    "noise": ("check", "channel T2 is noise", "give the scan itself"),
    "labels": ("check", "a label map, not a scan", "give the scan itself"),
    "twice": ("find", "2 files claim to be channel T2", "keep one of them"),
}


@dataclass(frozen=True)
class SpoiltRun:
    source: Path
    target: Path
    report: RunReport


@pytest.fixture(scope="module")
def spoilt(
    phantom_work: DatasetWork,
    phantom_predictions: Path,
    predict: Predict,
    tmp_path_factory: pytest.TempPathFactory,
) -> SpoiltRun:
    """Predict 7 good heads together with everything in BAD."""
    home = tmp_path_factory.mktemp("spoilt")
    source = copy_scans(phantom_work, home / "scans")
    Spoiler(source, source / "phantom_000_0000.nii.gz").write_all()
    target = Path(shutil.copytree(phantom_predictions, home / "out"))
    return SpoiltRun(source, target, predict(source, target))


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_case_says_what_where_and_what_to_do(spoilt: SpoiltRun, name: str) -> None:
    stage, message, fix = BAD[name]
    failure = rows(spoilt.target / "failed_cases.csv", FAILURE_COLUMNS)[name]
    assert failure["stage"] == stage
    assert failure["error_type"] == "DataError"
    assert message in failure["message"]
    assert fix in failure["what_to_do"]
    assert name in failure["message"].rpartition("(")[2]
    row = rows(spoilt.target / "patient_scores.csv", PATIENT_COLUMNS)[name]
    assert (row["status"], row["score"], row["prediction"]) == ("failed", "", "")
    assert not OutputFolder(spoilt.target).mask_path(name).exists()


def test_the_good_cases_come_out_as_if_the_bad_ones_were_not_there(
    spoilt: SpoiltRun, phantom_predictions: Path, results_of: ResultsOf
) -> None:
    found, expected = results_of(spoilt.target), results_of(phantom_predictions)
    del found["patient_scores.csv"], expected["patient_scores.csv"]
    assert found == expected
    assert len(found) == 2 * _GOOD + 1


def test_every_case_has_its_row(spoilt: SpoiltRun) -> None:
    patients = rows(spoilt.target / "patient_scores.csv", PATIENT_COLUMNS)
    assert len(patients) == _GOOD + len(BAD) == len(spoilt.report.markers)
    failed = rows(spoilt.target / "failed_cases.csv", FAILURE_COLUMNS)
    assert set(failed) == set(BAD) == {m.row["case_id"] for m in spoilt.report.failed}
    assert {name for name, row in patients.items() if row["status"] == "failed"} == set(BAD)


def test_failed_cases_make_the_command_end_with_code_3(
    spoilt: SpoiltRun, phantom_work: DatasetWork, command: Command
) -> None:
    code, shown, messages = command(
        main, "-i", spoilt.source, "-o", spoilt.target, "-d", phantom_work.raw, "-c", "codegraph3d",
        "--preprocessed", phantom_work.derived.parent, "--no_report",
    )  # fmt: skip
    assert code == 3
    assert shown.count("failed") == len(BAD)
    assert f"13 cases failed, see {spoilt.target / 'failed_cases.csv'}" in messages
    assert "Traceback" not in messages
    report = read_json(spoilt.target / "run_report.json")
    assert report["cases"] == {"done": _GOOD, "failed": len(BAD), "pending": 0}


def test_a_case_that_was_repaired_is_taken_up(
    spoilt: SpoiltRun, predict: Predict, tmp_path: Path
) -> None:
    target = Path(shutil.copytree(spoilt.target, tmp_path / "out"))
    source = Path(shutil.copytree(spoilt.source, tmp_path / "scans"))
    for name in BAD.keys() - {"twice"}:
        for path in source.glob(f"{name}_*"):
            path.unlink()
    (source / "twice_0000.nii").unlink()
    report = predict(source, target)
    assert report.failed == []
    assert not (target / "failed_cases.csv").exists()
    assert rows(target / "patient_scores.csv", PATIENT_COLUMNS)["twice"]["score"] != ""


def test_what_was_found_in_a_scan_is_not_shown_once_the_scan_is_broken(
    phantom_work: DatasetWork, predicted: Path, predict: Predict, tmp_path: Path
) -> None:
    source = copy_scans(phantom_work, tmp_path / "scans")
    (source / "phantom_003_0000.nii.gz").write_bytes(b"no longer a scan")
    report = predict(source, predicted)
    assert [marker.row["case_id"] for marker in report.failed] == ["phantom_003"]
    output = OutputFolder(predicted)
    assert not output.mask_path("phantom_003").exists()
    assert not output.map_path("phantom_003").exists()
    assert len(list(predicted.glob("*.nii.gz"))) == _GOOD - 1


@pytest.fixture
def arguments(phantom_work: DatasetWork, predicted: Path) -> tuple[str | Path, ...]:
    """Ask for the predictions of the 7 heads once more, in one process."""
    return (
        "-i", phantom_work.raw / "imagesTr", "-o", predicted, "-d", phantom_work.raw,
        "--preprocessed", phantom_work.derived.parent, "-c", "codegraph3d", "-np", "1",
        "--no_report",
    )  # fmt: skip


def test_two_cases_with_the_same_content_are_reported_and_the_cohort_is_scored_anew(
    phantom_work: DatasetWork,
    predicted: Path,
    predict: Predict,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = copy_scans(phantom_work, tmp_path / "scans")
    shutil.copy2(source / "phantom_002_0000.nii.gz", source / "again_0000.nii.gz")
    before = OutputFolder(predicted).marker("phantom_000")
    with caplog.at_level("INFO", "brainad"):
        report = predict(source, predicted)
    assert report.failed == []
    row = rows(predicted / "patient_scores.csv", PATIENT_COLUMNS)["again"]
    assert row["status"] == "warning"
    assert row["warnings"] == "same content: again, phantom_002"
    assert "case again: same content: again, phantom_002 (keep one)" in caplog.text
    assert "7 cases are scored again, e.g. phantom_000: cohort changed" in caplog.text
    assert "7 cases are delivered again" in caplog.text
    after = OutputFolder(predicted).marker("phantom_000")
    assert before is not None
    assert after is not None
    assert after.row["score_raw"] != before.row["score_raw"]
    caplog.clear()
    predict(source, predicted)
    assert "again" not in caplog.text.replace("case again", "").replace("again,", "")


def test_a_changed_scan_is_worked_on_anew_and_the_log_says_why(
    phantom_work: DatasetWork,
    predicted: Path,
    predict: Predict,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = copy_scans(phantom_work, tmp_path / "scans")
    os.utime(source / "phantom_004_0000.nii.gz")
    with caplog.at_level("INFO", "brainad"):
        predict(source, predicted)
    assert "checking case phantom_004 again: its files" in caplog.text
    assert "1 cases are prepared again, e.g. phantom_004: files changed" in caplog.text
    assert "1 cases are encoded again, e.g. phantom_004: preparation changed" in caplog.text
    assert "7 cases are scored again" in caplog.text


def test_channels_on_other_grids_are_named_in_the_table(
    phantom_work: DatasetWork, predicted: Path, predict: Predict, tmp_path: Path
) -> None:
    source = copy_scans(phantom_work, tmp_path / "scans")
    for number, shift_mm in enumerate((1e-3, 0.5, 20)):
        image = nib.nifti1.load(source / f"phantom_{number:03d}_0000.nii.gz")
        affine = image.affine.copy()
        affine[0, 3] += shift_mm
        moved = nib.nifti1.Nifti1Image(np.asarray(image.dataobj), affine)
        nib.save(moved, source / f"phantom_{number:03d}_0001.nii.gz")
    predict(source, predicted)
    patients = rows(predicted / "patient_scores.csv", PATIENT_COLUMNS)
    assert [patients[f"phantom_{number:03d}"]["warnings"] for number in range(4)] == [
        "",
        "T2 and T1 differ by 0.500 mm at the corners",
        "T2 and T1 lie on different grids: 20 mm apart at the corners",
        "",
    ]
    assert patients["phantom_002"]["status"] == "warning"


def test_an_empty_folder_lists_the_patterns(command: Command, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    code, _, messages = command(main, "-i", tmp_path / "in", "-o", tmp_path / "out")
    assert code == 2
    assert f"ERROR  no cases found in {tmp_path / 'in'}" in messages
    assert "  where  0 files seen; patterns tried: CASE_0000.nii.gz, CASE_FLAIR" in messages
    assert "  fix    put NIfTI files there" in messages
    assert list(tmp_path.rglob("*.csv")) == []


def test_names_that_fit_no_pattern_are_shown(command: Command, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    names = {"channel_names": {"0": "T1", "1": "FLAIR"}, "labels": {"background": 0}}
    write_json(source / "dataset.json", names)
    for number in range(7):
        (source / f"scan{number}.nii.gz").touch()
    code, _, messages = command(main, "-i", source, "-o", tmp_path / "out")
    assert code == 2
    assert (
        "7 files seen, e.g. scan0.nii.gz, scan1.nii.gz, scan2.nii.gz, scan3.nii.gz, scan4.nii"
        in (messages)
    )
    assert "the channels are T1, FLAIR, so one bare file per case is ambiguous" in messages


def test_one_scan_alone_needs_company_or_a_bank(
    phantom_work: DatasetWork,
    command: Command,
    tmp_path: Path,
    planned_quickly: None,  # noqa: ARG001
) -> None:
    source = copy_scans(phantom_work, tmp_path / "scans", "phantom_000")
    code, _, messages = command(main, "-i", source, "-o", tmp_path / "out", "-device", "cpu")
    assert code == 2
    assert "1 usable case; codegraph3d compares scans with each other" in messages
    assert "needs a cohort of at least 5 (30 or more is best)" in messages
    assert f"  where  {source}" in messages
    assert "brainad_build_bank -i HEALTHY -o BANK, then brainad_predict ... -bank BANK" in messages


def test_a_cohort_that_shrinks_below_the_smallest_still_tells_who_failed(
    phantom_work: DatasetWork, predict: Predict, tmp_path: Path
) -> None:
    names = [f"phantom_{number:03d}" for number in range(5)]
    source = copy_scans(phantom_work, tmp_path / "scans", *names)
    (source / "phantom_001_0000.nii.gz").write_bytes(b"no scan")
    with pytest.raises(UsageError, match=r"^4 usable cases; .* at least 5"):
        predict(source, tmp_path / "out")
    assert set(rows(tmp_path / "out" / "failed_cases.csv", FAILURE_COLUMNS)) == {"phantom_001"}


def test_when_no_case_is_usable_each_reason_is_in_the_table(
    predict: Predict, command: Command, phantom_work: DatasetWork, tmp_path: Path
) -> None:
    source = tmp_path / "scans"
    source.mkdir()
    for name in ("a", "b"):
        (source / f"{name}_T2.nii.gz").write_bytes(b"no scan")
    with pytest.raises(DataError, match="none of the 2 cases can be used") as caught:
        predict(source, tmp_path / "out")
    assert "failed_cases.csv" in caught.value.fix
    code, _, _ = command(
        main, "-i", source, "-o", tmp_path / "out", "-d", phantom_work.raw, "-c", "codegraph3d",
        "--preprocessed", phantom_work.derived.parent,
    )  # fmt: skip
    assert code == 3
    patients = rows(tmp_path / "out" / "patient_scores.csv", PATIENT_COLUMNS)
    failures = rows(tmp_path / "out" / "failed_cases.csv", FAILURE_COLUMNS)
    assert set(patients) == set(failures) == {"a", "b"}


@pytest.mark.parametrize("place", ["out", "out/deeper", "with_maps"])
def test_an_output_that_cannot_be_written_is_named(
    phantom_work: DatasetWork, predicted: Path, command: Command, tmp_path: Path, place: str
) -> None:
    (tmp_path / "out").write_text("a file where a folder should be")
    spoilt = predicted.rename(tmp_path / "with_maps")
    shutil.rmtree(spoilt / "anomaly_maps")
    (spoilt / "anomaly_maps").touch()
    code, _, messages = command(
        main, "-i", phantom_work.raw / "imagesTr", "-o", tmp_path / place, "-d", phantom_work.raw,
        "--preprocessed", phantom_work.derived.parent, "-c", "codegraph3d", "--no_report",
    )  # fmt: skip
    assert code == 2
    assert "ERROR  cannot write here" in messages
    assert f"  where  {tmp_path / place}" in messages
    assert "  fix    choose " in messages
    assert "Traceback" not in messages


@pytest.mark.slow
def test_a_run_with_worker_processes_heeds_the_batch_system(
    phantom_work: DatasetWork,
    phantom_predictions: Path,
    command: Command,
    results_of: ResultsOf,
    tmp_path: Path,
) -> None:
    """SIGTERM reaches a real process whose workers are preparing cases."""
    derived = tmp_path / "preprocessed" / phantom_work.raw.name
    derived.mkdir(parents=True)
    shutil.copy2(phantom_work.derived / PLAN_FILE, derived)
    out = tmp_path / "out"
    arguments = (
        "-i", phantom_work.raw / "imagesTr", "-o", out, "-d", phantom_work.raw, "--preprocessed",
        derived.parent, "-c", "codegraph3d", "-np", "2", "-device", "cpu", "--no_report",
    )  # fmt: skip
    program = "from brainad.cli.predict import main\nmain()"
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as process:
        assert process.stderr is not None
        messages = ""
        for line in process.stderr:
            messages += line
            if line.startswith("prepare 2/7"):
                process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 4, messages
    assert "ERROR  asked to stop (SIGTERM)" in messages
    assert "Traceback" not in messages
    assert "encode" not in messages
    kept = len(list((out / ".brainad" / "prepared").glob("*/record.json")))
    assert kept >= 2
    code, _, messages = command(main, *arguments)
    assert code == 0
    assert messages.count(" kept ") == kept
    assert results_of(out) == results_of(phantom_predictions)


@contextmanager
def smallest_files(bytes_: int) -> Iterator[None]:
    """Let the system refuse to write longer files, as a disk does that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def leave(folder: Path, *kinds: str) -> None:
    """Set an output folder back to where only these kinds of intermediate results were there."""
    for path in folder.iterdir():
        if path.is_dir() and path.name != ".brainad":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    for path in (folder / ".brainad").iterdir():
        if path.name not in ("checked", *kinds):
            shutil.rmtree(path)


STAGES = {
    "prepare": (),
    "encode": ("prepared",),
    "score": ("prepared", "encodings"),
    "restore": ("prepared", "encodings", "predictions"),
}


@pytest.mark.parametrize("stage", list(STAGES))
def test_a_full_disk_stops_the_run_and_the_same_command_continues(
    phantom_predictions: Path,
    predicted: Path,
    arguments: tuple[str | Path, ...],
    command: Command,
    results_of: ResultsOf,
    stage: str,
) -> None:
    leave(predicted, *STAGES[stage])
    with smallest_files(20_000):
        code, _, messages = command(main, *arguments)
    assert code == 4
    assert "ERROR  no space left on the disk" in messages
    assert f"  where  {predicted}" in messages
    assert "  fix    free some space and run the same command again" in messages
    assert "unexpected error" not in messages
    assert list(predicted.rglob("*.partial*")) == []
    assert command(main, *arguments)[0] == 0
    assert results_of(predicted) == results_of(phantom_predictions)


# Scoring writes one piece per layer before its predictions.
INTERRUPTED = {
    "prepare": ("brainad.prepared.write_json", 5, "prepared", 2),
    "encode": ("brainad.arrays.replacing", 3, "encodings", 2),
    "score": ("brainad.arrays.replacing", 8, "predictions", 4),
    "restore": ("brainad.inference.outputs.write_volume", 4, "cases", 1),
}


@pytest.mark.parametrize("stage", list(STAGES))
def test_a_run_that_is_stopped_continues_where_it_was(
    phantom_predictions: Path,
    predicted: Path,
    arguments: tuple[str | Path, ...],
    command: Command,
    results_of: ResultsOf,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    """SIGTERM arrives in the middle of writing; finished cases are kept, nothing is half there."""
    leave(predicted, *STAGES[stage])
    place, call, kind, finished = INTERRUPTED[stage]
    module, _, name = place.rpartition(".")
    original = getattr(__import__(module, fromlist=[name]), name)
    calls = 0

    def stop(*values: Any, **settings: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*values, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(place, stop)
        code, _, messages = command(main, *arguments)
    assert code == 4
    assert "asked to stop (SIGTERM)" in messages
    assert "the same command continues" in messages
    assert list(predicted.rglob("*.partial*")) == []
    kept = {path: path.stat().st_mtime_ns for path in (predicted / ".brainad" / kind).iterdir()}
    assert len(kept) == finished
    assert command(main, *arguments)[0] == 0
    if stage != "score":  # A cohort is scored as a whole.
        assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert results_of(predicted) == results_of(phantom_predictions)
