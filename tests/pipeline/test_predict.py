from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainad.errors import UsageError
from brainad.files import read_json, write_json
from brainad.inference.outputs import OutputFolder
from brainad.pipeline.cases import Share
from brainad.pipeline.dataset import DatasetWork
from brainad.pipeline.folder import FolderOptions
from brainad.pipeline.predict import DecisionOptions, RunReport, dry_run, predict_folder
from brainad.pipeline.sources import model_from_folder
from brainad.plan import Resources, to_table
from brainad.prediction import Calibration

Predict = Callable[..., RunReport]


@pytest.fixture
def scans(phantom_work: DatasetWork) -> Path:
    return phantom_work.raw / "imagesTr"


def test_the_report_tells_what_became_of_every_case(
    predict: Predict, scans: Path, predicted: Path
) -> None:
    report = predict(scans, predicted)
    names = [f"phantom_{number:03d}" for number in range(7)]
    assert [marker.row["case_id"] for marker in report.markers] == names
    assert report.failed == []
    assert report.pending == []
    assert set(report.seconds) == {"prepare", "encode", "score", "restore"}
    assert report.scans["phantom_000"] == scans / "phantom_000_0000.nii.gz"
    assert read_json(predicted / "plans.json") == to_table(report.model.plan)


def test_given_thresholds_rank_above_those_of_a_model_and_these_above_the_rule(
    predict: Predict,
    scans: Path,
    predicted: Path,
    phantom_bank: Path,
    resources: Resources,
    tmp_path: Path,
) -> None:
    rule = predict(scans, predicted).calibration
    assert rule is not None
    assert rule.source == "median + 2.5 robust deviations of a cohort of 7 cases"
    given = Calibration(3.0, 4.0, "given")
    write_json(tmp_path / "given.json", to_table(given))
    decisions = DecisionOptions(tmp_path / "given.json")
    assert predict(scans, predicted, decisions).calibration == given

    one = tmp_path / "one"
    one.mkdir()
    shutil.copy2(scans.parent / "dataset.json", one)
    shutil.copy2(scans / "phantom_003_0000.nii.gz", one)
    model = model_from_folder(phantom_bank, resources)
    for options, source in ((DecisionOptions(), "5 held-out"), (decisions, "given")):
        report = predict_folder(one, tmp_path / "out", model, FolderOptions(), options)
        assert report.calibration is not None
        assert report.calibration.source.startswith(source)


def test_a_part_of_a_cohort_waits_and_delivers_nothing(
    predict: Predict, scans: Path, predicted: Path
) -> None:
    for kind in ("encodings", "predictions", "cases"):
        for path in (predicted / ".brainad" / kind).glob("phantom_00[13].*"):
            path.unlink()
    report = predict(scans, predicted, share=Share(2, 0))
    assert report.pending == ["phantom_001", "phantom_003"]
    assert report.calibration is None
    assert len(report.markers) == 5


def test_parts_of_a_run_with_a_bank_do_not_wait(
    scans: Path, phantom_bank: Path, resources: Resources, predicted: Path
) -> None:
    model = model_from_folder(phantom_bank, resources)
    options = FolderOptions(share=Share(7, 3))
    shutil.rmtree(predicted / ".brainad" / "cases")
    report = predict_folder(scans, predicted, model, options, DecisionOptions())
    assert [marker.row["case_id"] for marker in report.markers] == ["phantom_003"]
    assert report.calibration is not None


def test_the_smallest_size_changes_masks_and_no_map(
    predict: Predict, scans: Path, predicted: Path, tmp_path: Path
) -> None:
    write_json(tmp_path / "low.json", to_table(Calibration(1e-3, 1.0, "low")))
    low = tmp_path / "low.json"
    predict(scans, predicted, DecisionOptions(low))
    output = OutputFolder(predicted)
    map_bytes = output.map_path("phantom_000").read_bytes()
    marker = output.marker("phantom_000")
    assert marker is not None
    largest = marker.row["largest_component_mm3"]
    assert largest > 0
    predict(scans, predicted, DecisionOptions(low, minimum_mm3=largest + 1))
    smaller = output.marker("phantom_000")
    assert smaller is not None
    assert smaller.row["anomalous_volume_mm3"] == 0
    assert output.map_path("phantom_000").read_bytes() == map_bytes


def test_results_never_replace_scans(predict: Predict, scans: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(scans)
    for target in (scans, link, scans / "."):
        with pytest.raises(UsageError, match="input and output folder are the same"):
            predict(scans, target)


def test_a_dry_run_tells_the_state_of_every_case(scans: Path, predicted: Path) -> None:
    output = OutputFolder(predicted)
    failed = output.marker("phantom_001")
    assert failed is not None
    path = predicted / ".brainad" / "cases" / "phantom_001.json"
    write_json(path, {**read_json(path), "failure": {"case_id": "phantom_001"}})
    (predicted / ".brainad" / "cases" / "phantom_002.json").unlink()
    rows = {row["case_id"]: row for row in dry_run(scans, predicted)}
    assert {row["channels"] for row in rows.values()} == {"T2"}
    actions = [rows[f"phantom_00{number}"]["action"] for number in range(4)]
    assert actions == ["keep if unchanged", "retry", "do", "keep if unchanged"]


def test_a_dry_run_names_files_that_contradict_each_other(tmp_path: Path) -> None:
    for name in ("a_T1.nii.gz", "a_T1.nii", "b_T1.nii", "b_FLAIR.nii"):
        (tmp_path / name).touch()
    rows: list[dict[str, Any]] = dry_run(tmp_path, tmp_path / "out")
    assert [row["case_id"] for row in rows] == ["b", "a"]
    assert sorted(rows[0]["channels"].split()) == ["FLAIR", "T1"]
    assert rows[1]["action"] == "fail: 2 files claim to be channel T1 of case a"
    assert [row["action"] for row in dry_run(tmp_path, tmp_path / "out", {"PD": "_T1"})] == [
        "do",
        "fail: 2 files claim to be channel PD of case a",
    ]


def test_scores_agree_with_the_maps_that_are_delivered(
    phantom_predictions: Path, predict: Predict, scans: Path, predicted: Path
) -> None:
    report = predict(scans, predicted)
    raw = [marker.row["score_raw"] for marker in report.markers]
    shown = [marker.row["score"] for marker in report.markers]
    assert np.array_equal(np.argsort(raw), np.argsort(shown))
    assert (predicted / "plans.json").read_bytes() == (
        phantom_predictions / "plans.json"
    ).read_bytes()
