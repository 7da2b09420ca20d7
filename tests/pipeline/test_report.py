from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainad.files import read_json
from brainad.inference.outputs import OutputFolder
from brainad.nifti import read_volume
from brainad.pipeline import report as report_module
from brainad.pipeline.cases import Failure
from brainad.pipeline.dataset import DatasetWork
from brainad.pipeline.deliver import failure_marker
from brainad.pipeline.predict import RunReport
from brainad.pipeline.report import (
    case_picture,
    score_table,
    write_companions,
    write_html_report,
    write_run_report,
)


@pytest.fixture(scope="module")
def folder(phantom_predictions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(phantom_predictions, tmp_path_factory.mktemp("report") / "out"))


@pytest.fixture(scope="module")
def run(folder: Path, phantom_work: DatasetWork, predict: Callable[..., RunReport]) -> RunReport:
    """Report on seven heads and one that failed."""
    report = predict(phantom_work.raw / "imagesTr", folder)
    failure = Failure("check", "DataError", "too <dark>", "bad.nii", "scan again")
    return replace(
        report,
        markers=(*report.markers, failure_marker("bad", failure, ["bad.nii"])),
        warnings=("2 files are not used",),
    )


def test_machines_get_versions_counts_and_reasons(folder: Path, run: RunReport) -> None:
    write_run_report(folder, run, {"seed": 1})
    table = read_json(folder / "run_report.json")
    assert table["cases"] == {"done": 7, "failed": 1, "pending": 0}
    assert {"brainad", "torch", "python"} <= set(table["versions"])
    assert table["options"] == {"seed": 1}
    assert table["warnings"] == ["2 files are not used"]
    assert table["reasons"] == list(run.model.plan.reasons)
    assert set(table["seconds_per_case"]) == set(run.scans)
    assert "not a medical device" in table["notice"]
    assert len(table["outputs"]) == 14
    assert "bad.nii.gz" not in table["outputs"]
    before_delivery = replace(run, markers=(), calibration=None, pending=("a",))
    write_run_report(folder, before_delivery, {})
    assert read_json(folder / "run_report.json")["calibration"] is None


def test_companions_are_named_after_their_part(folder: Path, run: RunReport) -> None:
    write_companions(folder, run, {"min_size_mm3": 0}, "_part000of002")
    arguments = read_json(folder / "predict_from_raw_data_args_part000of002.json")
    assert arguments == {"min_size_mm3": 0}
    described = read_json(folder / "dataset.json")
    assert described["labels"] == {"background": 0, "anomaly": 1}
    assert described["channel_names"] == {"0": "T2"}


def test_people_get_one_page_with_the_highest_scores_first(
    folder: Path, run: RunReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_module, "_SHOWN_CASES", 1)
    page = write_html_report(folder, run, run.scans)
    text = page.read_text(encoding="utf-8")
    assert page == folder / "report.html"
    assert text.count("data:image/png") == 1
    assert all(name in text for name in run.scans)
    assert "too &lt;dark&gt;" in text
    highest = max(run.markers[:7], key=lambda marker: float(marker.row["score"]))
    name = highest.row["case_id"]
    assert all(text.index(name) <= text.index(other) for other in run.scans)


def test_a_picture_shows_scan_map_and_truth(
    folder: Path, run: RunReport, phantom_dataset: Path
) -> None:
    truth = phantom_dataset / "labelsTr" / "phantom_003.nii.gz"
    output = OutputFolder(folder)
    scan = run.scans["phantom_003"]
    with_truth = case_picture(output, "phantom_003", scan, {"phantom_003": truth})
    assert with_truth.lesion is not None
    assert np.array_equal(with_truth.lesion.data, read_volume(truth).data > 0)
    assert with_truth.title.startswith("phantom_003, score ")
    without = case_picture(output, "phantom_003", scan, {"phantom_003": None})
    assert without.lesion is None


def test_the_table_has_the_highest_score_on_top_and_failures_below(run: RunReport) -> None:
    rows = score_table(run.markers)
    assert rows[-1]["case_id"] == "bad"
    scores = [row["score"] for row in rows[:-1]]
    assert scores == sorted(scores, reverse=True)
    assert len(rows) == 8
    json.dumps(rows, allow_nan=False)
