from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from brainad.cli.merge_parts import main
from brainad.inference.outputs import Marker, OutputFolder
from brainad.pipeline.cases import Failure, Share
from brainad.pipeline.deliver import failure_marker
from brainad.pipeline.parts import record_part

Command = Callable[..., tuple[int, str, str]]

CASES = ["a", "b", "c"]


@pytest.fixture
def output(tmp_path: Path) -> OutputFolder:
    """Have part 0 of 2 come to its end with both of its cases."""
    folder = OutputFolder(tmp_path)
    record_part(folder, Share(2, 0), CASES, "model", "settings")
    for name in ("a", "c"):
        finish(folder, name)
    return folder


def finish(output: OutputFolder, case_id: str) -> None:
    """Leave what a finished case leaves for the tables."""
    row = {"case_id": case_id, "score": 0.2, "threshold": 0.5, "runtime_s": 1.0, "status": "ok"}
    for path in (output.mask_path(case_id), output.map_path(case_id)):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    output._write_marker(case_id, Marker("key", row, 2, (0.1, 0.7), None, None))


def test_all_parts_together_are_one_run(command: Command, output: OutputFolder) -> None:
    record_part(output, Share(2, 1), CASES, "model", "settings")
    finish(output, "b")
    code, shown, messages = command(main, "-o", output.folder)
    assert (code, messages) == (0, "")
    assert shown == f"{output.folder}: 3 cases done, 0 failed, 0 missing; 2 parts\n"
    lines = (output.folder / "patient_scores.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["case_id", *CASES]
    assert len((output.folder / "slice_scores.csv").read_text().splitlines()) == 1 + 2 * 3


def test_a_part_that_has_not_ended_is_named(command: Command, output: OutputFolder) -> None:
    code, shown, messages = command(main, "-o", output.folder)
    assert code == 3
    assert "2 cases done, 0 failed, 1 missing; 2 parts" in shown
    assert "ERROR  parts that have not come to their end: 1; run them (again)" in messages


def test_a_cohort_that_nobody_scored_has_a_remedy(command: Command, output: OutputFolder) -> None:
    record_part(output, Share(2, 1), CASES, "model", "settings")
    code, _, messages = command(main, "-o", output.folder)
    assert code == 3
    assert "1 cases are not delivered, e.g. b; run brainad_predict once more" in messages


def test_failed_cases_change_the_exit_code(command: Command, output: OutputFolder) -> None:
    record_part(output, Share(2, 1), CASES, "model", "settings")
    failure = Failure("check", "DataError", "too dark", "", "scan again")
    output.report_failure("b", failure_marker("b", failure, []))
    code, shown, messages = command(main, "-o", output.folder)
    assert code == 3
    assert "2 cases done, 1 failed, 0 missing; 2 parts" in shown
    assert f"1 cases failed, see {output.folder / 'failed_cases.csv'}" in messages


def test_a_folder_without_parts_is_refused(command: Command, tmp_path: Path) -> None:
    code, _, messages = command(main, "-o", tmp_path)
    assert code == 2
    assert "no part of a run has come to its end here" in messages
    assert list(tmp_path.iterdir()) == []
