"""The fault scripts of ``benchmarks/faults``, at small scale."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from benchmarks.faults.bad_files import KINDS, write_bad_files
from benchmarks.faults.container import CONDITIONS, run_confined
from benchmarks.faults.fuzz import fuzz
from benchmarks.faults.kill import kill_again_and_again
from benchmarks.faults.small_cohort import predict, scans, write_small_cohort


@pytest.mark.slow
def test_bad_files_fail_one_by_one(tmp_path: Path) -> None:
    cohort = write_small_cohort(tmp_path / "home", 6)
    bad = write_bad_files(cohort.scans, next(scans(1)))
    report = predict(cohort, tmp_path / "out")
    assert bad == len(KINDS) >= 12
    assert len(report.markers) == 6 + bad
    assert len(report.failed) == bad
    messages = [marker.failure["message"] for marker in report.failed if marker.failure]
    assert not [message for message in messages if "unexpected" in message]
    for marker in report.markers:
        assert str(marker.row["case_id"]).isprintable()


@pytest.mark.slow
def test_a_run_that_is_killed_ends_like_one_that_is_not(tmp_path: Path) -> None:
    figures = kill_again_and_again(tmp_path, cases=5, kills=3, seed=0)
    assert figures["files compared"] >= 5 * 3 + 2


@pytest.mark.slow
def test_a_locked_down_container_changes_no_byte() -> None:
    """What this system does not let us set is left out; an unwritable home always holds."""
    # The folders of pytest belong to one user; the user without rights must be able to enter.
    with tempfile.TemporaryDirectory() as home:
        assert set(run_confined(Path(home), cases=5)) == {each.name for each in CONDITIONS}


@pytest.mark.slow
def test_mutated_inputs_do_no_harm(tmp_path: Path) -> None:
    findings, counts = fuzz(tmp_path, inputs=60, seed=0)
    assert findings == []
    assert counts.total() == 60
