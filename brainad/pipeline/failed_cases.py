"""Which cases of a dataset failed: one file per case, so that parts of a run add up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from brainad.errors import UsageError
from brainad.files import read_json, write_csv, write_json
from brainad.inference.outputs import FAILURE_COLUMNS
from brainad.pipeline.cases import Outcome
from brainad.pipeline.deliver import failure_marker

FAILURES_FILE = "failed_cases.csv"


class FailedCases:
    """The failed cases of a dataset, whichever part of the run met them.

    Args:
        derived: folder in the preprocessed root.
    """

    def __init__(self, derived: Path) -> None:
        self.table = derived / FAILURES_FILE
        self._folder = derived / "failed"

    def settle(self, outcomes: Iterable[Outcome]) -> None:
        """Write down which of these cases failed; what was known about them is replaced."""
        for outcome in outcomes:
            if outcome.failure:
                marker = failure_marker(outcome.case_id, outcome.failure, [])
                write_json(self._path(outcome.case_id), marker.failure)
            else:
                self._path(outcome.case_id).unlink(missing_ok=True)

    def write_table(self, case_ids: Sequence[str]) -> None:
        """Write failed_cases.csv with those of these cases that any part saw fail, if any."""
        rows = []
        for case_id in case_ids:
            try:
                rows.append(read_json(self._path(case_id)))
            except UsageError:
                # It did not fail, or another part has just repaired it.
                continue
        if rows:
            write_csv(self.table, FAILURE_COLUMNS, rows)
        else:
            self.table.unlink(missing_ok=True)

    def _path(self, case_id: str) -> Path:
        return self._folder / f"{case_id}.json"
