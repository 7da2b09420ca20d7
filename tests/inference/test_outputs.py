from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from brainad.errors import ResourceError
from brainad.inference import outputs
from brainad.inference.outputs import (
    FAILURE_COLUMNS,
    PATIENT_COLUMNS,
    SLICE_COLUMNS,
    Marker,
    OutputFolder,
)
from brainad.nifti import read_volume, write_volume
from brainad.prediction import Result
from brainad.volume import Volume

SHAPE = (4, 5, 3)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    image = nib.nifti1.Nifti1Image(np.ones(SHAPE, dtype=np.int16), np.diag([-1.0, 2.0, 3.0, 1.0]))
    image.header.set_sform(image.affine, code=4)
    path = tmp_path / "scan.nii.gz"
    nib.save(image, path)
    return path


@pytest.fixture
def output(tmp_path: Path) -> OutputFolder:
    return OutputFolder(tmp_path / "out")


def result(scan: Path, case_id: str = "a") -> Result:
    grid = read_volume(scan).grid
    data = np.linspace(0, 0.9, grid.shape[0] * grid.shape[1] * grid.shape[2], dtype=np.float32)
    anomaly_map = Volume(data.reshape(grid.shape), grid)
    mask = Volume(anomaly_map.data >= 0.5, grid)
    slices = anomaly_map.data.max(axis=(0, 1))
    return Result(case_id, anomaly_map, mask, 0.6, 3.0, 2, slices)


def marker(case_id: str = "a", key: str = "key", **changes: Any) -> Marker:
    row = {"case_id": case_id, "score": 0.6, "threshold": 0.5, "status": "ok"}
    return replace(Marker(key, row, 2, (0.1, 0.5, 0.9), None, {"source": "x"}), **changes)


def failed(case_id: str) -> Marker:
    failure = dict.fromkeys(FAILURE_COLUMNS, "x") | {"case_id": case_id}
    row = {"case_id": case_id, "status": "failed"}
    return marker(case_id, "", row=row, slice_scores=(), failure=failure, calibration=None)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_delivered_files_lie_on_the_grid_of_the_scan(output: OutputFolder, scan: Path) -> None:
    output.deliver(result(scan), scan, marker())
    mask = nib.nifti1.load(output.folder / "a.nii.gz")
    anomaly_map = nib.nifti1.load(output.folder / "anomaly_maps" / "a.nii.gz")
    assert mask.get_data_dtype() == np.uint8
    assert anomaly_map.get_data_dtype() == np.float32
    for image in (mask, anomaly_map):
        assert image.header["sform_code"] == 4
        assert np.array_equal(image.affine, nib.nifti1.load(scan).affine)
    assert np.array_equal(np.asarray(anomaly_map.dataobj), result(scan).anomaly_map.data)
    assert np.array_equal(np.asarray(mask.dataobj) > 0, result(scan).mask.data)


def test_only_masks_and_tables_lie_on_top(output: OutputFolder, scan: Path) -> None:
    output.deliver(result(scan), scan, marker())
    output.write_tables(["a"])
    assert sorted(path.name for path in output.folder.iterdir()) == [
        ".brainad",
        "a.nii.gz",
        "anomaly_maps",
        "patient_scores.csv",
        "slice_scores.csv",
    ]


def test_a_marker_comes_back(output: OutputFolder, scan: Path) -> None:
    assert output.marker("a") is None
    output.deliver(result(scan), scan, marker())
    assert output.marker("a") == marker()
    output.report_failure("b", failed("b"))
    assert output.marker("b") == failed("b")


def test_a_case_is_held_for_its_key_while_its_files_exist(output: OutputFolder, scan: Path) -> None:
    assert not output.holds("a", "key")
    output.deliver(result(scan), scan, marker())
    assert output.holds("a", "key")
    assert not output.holds("a", "another")
    output.map_path("a").unlink()
    assert not output.holds("a", "key")
    output.deliver(result(scan), scan, marker())
    output.mask_path("a").unlink()
    assert not output.holds("a", "key")


def test_a_failed_case_is_not_held_and_leaves_no_files(output: OutputFolder, scan: Path) -> None:
    output.deliver(result(scan), scan, marker())
    output.report_failure("a", failed("a"))
    assert not output.holds("a", "")
    assert not output.mask_path("a").exists()
    assert not output.map_path("a").exists()


def test_the_marker_is_written_last(
    output: OutputFolder, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output.deliver(result(scan), scan, marker())
    written: list[Path] = []

    def fill_the_disk(path: Path, volume: Volume, like: Path) -> None:
        if written:
            raise ResourceError("no space left on the disk")
        written.append(path)
        write_volume(path, volume, like)

    monkeypatch.setattr(outputs, "write_volume", fill_the_disk)
    with pytest.raises(ResourceError):
        output.deliver(result(scan), scan, marker())
    assert output.marker("a") is None
    assert not output.holds("a", "key")


def test_tables_follow_from_the_markers(output: OutputFolder, scan: Path) -> None:
    output.deliver(result(scan, "b"), scan, marker("b"))
    output.report_failure("a", failed("a"))
    found = output.write_tables(["a", "b", "not done yet"])
    assert [each.row["case_id"] for each in found] == ["a", "b"]
    patients = rows(output.folder / "patient_scores.csv")
    assert tuple(patients[0]) == PATIENT_COLUMNS
    assert [(row["case_id"], row["score"], row["status"]) for row in patients] == [
        ("a", "", "failed"),
        ("b", "0.6", "ok"),
    ]
    slices = rows(output.folder / "slice_scores.csv")
    assert tuple(slices[0]) == SLICE_COLUMNS
    assert [tuple(row.values()) for row in slices] == [
        ("b", "2", "0", "0.1", "0"),
        ("b", "2", "1", "0.5", "1"),
        ("b", "2", "2", "0.9", "1"),
    ]
    failures = rows(output.folder / "failed_cases.csv")
    assert [row["case_id"] for row in failures] == ["a"]
    assert tuple(failures[0]) == FAILURE_COLUMNS


def test_the_list_of_failures_goes_when_nothing_fails_any_more(
    output: OutputFolder, scan: Path
) -> None:
    output.report_failure("a", failed("a"))
    output.write_tables(["a"])
    assert (output.folder / "failed_cases.csv").is_file()
    output.deliver(result(scan), scan, marker())
    output.write_tables(["a"])
    assert not (output.folder / "failed_cases.csv").exists()


def test_the_same_markers_give_the_same_bytes(output: OutputFolder, scan: Path) -> None:
    output.deliver(result(scan), scan, marker())
    output.write_tables(["a"])
    first = (output.folder / "patient_scores.csv").read_bytes()
    output.write_tables(["a"])
    assert (output.folder / "patient_scores.csv").read_bytes() == first
