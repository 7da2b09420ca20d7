"""cases.csv and slices.csv: labels per case and per slice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import get_args

from brainad.case import Diagnosis
from brainad.errors import UsageError
from brainad.files import read_csv

SUBSETS = ("", "train", "val", "test")
DIAGNOSES: Mapping[str, Diagnosis] = {name: name for name in get_args(Diagnosis)}
_SLICE_LABELS = {"healthy": False, "unhealthy": True, "0": False, "1": True}
_SHOWN = 5


def read_case_table(path: Path) -> dict[str, Mapping[str, str]]:
    """Read cases.csv: case to its row, unknown columns included.

    Raises:
        UsageError: a column is missing, or a row holds an unknown or repeated value.
    """
    rows = read_csv(path, ["case_id"])
    table: dict[str, Mapping[str, str]] = {}
    problems = []
    for line, row in enumerate(rows, start=2):
        label, subset = row.get("label", "") or "unknown", row.get("subset", "")
        if label not in DIAGNOSES:
            problems.append(f"line {line}: label {label!r}")
        if subset not in SUBSETS:
            problems.append(f"line {line}: subset {subset!r}")
        if not row["case_id"] or row["case_id"] in table:
            problems.append(f"line {line}: case_id {row['case_id']!r} is empty or repeated")
        table[row["case_id"]] = MappingProxyType(row)
    _stop_at(
        problems,
        path,
        "label is healthy, unhealthy or unknown; subset is train, val, test or empty",
    )
    return table


def read_slice_table(path: Path) -> dict[str, tuple[int, Mapping[int, bool]]]:
    """Read slices.csv: case to array axis of the file and slice index to "shows an anomaly".

    Raises:
        UsageError: a column is missing, or rows are wrong or contradict each other.
    """
    table: dict[str, dict[int, bool]] = defaultdict(dict)
    axes: dict[str, int] = {}
    problems = []
    for line, row in enumerate(
        read_csv(path, ["case_id", "axis", "slice_index", "label"]), start=2
    ):
        case_id, axis, index, label = (
            row[name] for name in ("case_id", "axis", "slice_index", "label")
        )
        if axis not in ("0", "1", "2") or not index.isdecimal() or label not in _SLICE_LABELS:
            problems.append(f"line {line}: axis {axis!r}, slice_index {index!r}, label {label!r}")
            continue
        if axes.setdefault(case_id, int(axis)) != int(axis):
            problems.append(f"line {line}: a second axis for case {case_id}")
        known = _SLICE_LABELS[label]
        if table[case_id].setdefault(int(index), known) != known:
            problems.append(f"line {line}: slice {index} of {case_id} has two labels")
    _stop_at(
        problems,
        path,
        "axis is 0, 1 or 2 (one per case), slice_index counts from 0, label is "
        "healthy or unhealthy (or 0 or 1)",
    )
    # Plain mappings, because cases travel to worker processes.
    return {case_id: (axes[case_id], known) for case_id, known in table.items()}


def _stop_at(problems: Sequence[str], path: Path, fix: str) -> None:
    if problems:
        shown = "; ".join(problems[:_SHOWN])
        raise UsageError(f"{len(problems)} rows are wrong: {shown}", str(path), fix)
