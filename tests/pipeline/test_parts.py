from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults.shards import compare_parts
from benchmarks.faults.small_cohort import RESOURCES, write_small_cohort
from brainad.errors import UsageError
from brainad.files import read_json, write_json
from brainad.inference.outputs import OutputFolder
from brainad.pipeline.bank import build_bank
from brainad.pipeline.cases import Failure, Share, unwatched
from brainad.pipeline.deliver import failure_marker
from brainad.pipeline.folder import FolderOptions
from brainad.pipeline.parts import begin_part, merge_parts, read_parts, record_part
from brainad.pipeline.sources import model_from_folder

CASES = ["a", "b", "c", "d", "e"]


def fail(output: OutputFolder, case_id: str) -> None:
    failure = Failure("check", "DataError", "too dark", "", "scan again")
    output.report_failure(case_id, failure_marker(case_id, failure, []))


def test_parts_know_their_cases(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    for number in (2, 0):
        record_part(output, Share(3, number), CASES, "model", "settings")
    assert [part.own for part in read_parts(output)] == [["a", "d"], ["c"]]
    begin_part(output, Share())
    record_part(output, Share(), CASES, "model", "settings")
    assert [(part.parts, part.part) for part in read_parts(output)] == [(1, 0)]


def test_a_part_that_starts_again_is_not_at_its_end(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    for number in (0, 1):
        record_part(output, Share(2, number), CASES, "model", "settings")
    begin_part(output, Share(2, 1))
    assert [part.part for part in read_parts(output)] == [0]


def test_a_case_whose_files_are_gone_is_missing(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    record_part(output, Share(), CASES[:1], "model", "settings")
    row = {"case_id": "a", "score": 0.2, "runtime_s": 1.0}
    marker = {"key": "k", "row": row, "slice_axis": 2, "slice_scores": []}
    write_json(
        output.internal / "cases" / "a.json",
        {"format_version": 1, **marker, "failure": None, "calibration": None},
    )
    write_json(tmp_path / "run_report.json", {})
    assert merge_parts(tmp_path).missing_cases == ["a"]
    report = read_json(tmp_path / "run_report.json")
    assert report["cases"] == {"done": 0, "failed": 0, "pending": 1}
    assert report["outputs"] == []


def test_the_merge_says_what_is_missing(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    record_part(output, Share(3, 1), CASES, "model", "settings")
    fail(output, "b")
    write_json(tmp_path / "run_report.json", {"cases": {}, "kept": 1})
    merged = merge_parts(tmp_path)
    assert (merged.part_count, merged.missing_parts) == (3, [0, 2])
    assert merged.missing_cases == ["a", "c", "d", "e"]
    assert len(merged.failed) == len(merged.markers) == 1
    assert (tmp_path / "failed_cases.csv").read_text().count("\n") == 2
    report = read_json(tmp_path / "run_report.json")
    assert report["cases"] == {"done": 0, "failed": 1, "pending": 4}
    assert report["kept"] == 1


def test_different_runs_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no part of a run"):
        merge_parts(tmp_path)
    output = OutputFolder(tmp_path)
    record_part(output, Share(2, 0), CASES, "model", "settings")
    record_part(output, Share(2, 1), CASES[1:], "model", "settings")
    with pytest.raises(UsageError, match="different lists of cases: 5 and 4; not in both: a"):
        merge_parts(tmp_path)
    record_part(output, Share(2, 1), CASES, "other", "settings")
    with pytest.raises(UsageError, match="different models"):
        merge_parts(tmp_path)
    record_part(output, Share(2, 1), CASES, "model", "another plan")
    with pytest.raises(UsageError, match="different models, plans or thresholds"):
        merge_parts(tmp_path)


@pytest.mark.slow
def test_parts_in_any_order_are_one_run(tmp_path: Path) -> None:
    cohort = write_small_cohort(tmp_path, 8, block_size=3)
    assert compare_parts(cohort, cohort.choose_model, "cohort", [2, 0, 1]) > 16
    bank = tmp_path / "bank"
    build_bank(cohort.scans, bank, cohort.choose_model, FolderOptions(), 0.2, unwatched)
    model = model_from_folder(bank, RESOURCES)
    assert compare_parts(cohort, model, "bank", [1, 2, 0]) > 16
