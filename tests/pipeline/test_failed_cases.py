from __future__ import annotations

from pathlib import Path

from brainad.files import read_csv
from brainad.inference.outputs import FAILURE_COLUMNS
from brainad.pipeline.cases import Failure, Outcome
from brainad.pipeline.failed_cases import FailedCases

CASES = ("a", "b", "c")
FAILURE = Failure("prepare", "DataError", "too dark", "x.nii", "scan again")


def listed(failed: FailedCases) -> list[str]:
    return [row["case_id"] for row in read_csv(failed.table, FAILURE_COLUMNS)]


def test_parts_add_up_and_a_repaired_case_disappears(tmp_path: Path) -> None:
    first, second = FailedCases(tmp_path), FailedCases(tmp_path)
    first.settle([Outcome("a", failure=FAILURE), Outcome("c")])
    first.write_table(CASES)
    assert listed(first) == ["a"]
    second.settle([Outcome("b", failure=FAILURE)])
    second.write_table(CASES)
    assert listed(first) == ["a", "b"]
    (row, _) = read_csv(first.table, FAILURE_COLUMNS)
    assert row["message"] == "too dark (x.nii)"
    first.settle([Outcome("a")])
    first.write_table(CASES)
    assert listed(first) == ["b"]
    # A case that is no longer there does not count.
    first.write_table(("a", "c"))
    assert not first.table.exists()
