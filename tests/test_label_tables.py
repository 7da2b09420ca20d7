from __future__ import annotations

from pathlib import Path

import pytest

from brainad.errors import UsageError
from brainad.label_tables import read_case_table, read_slice_table


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_case_rows_keep_all_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "cases.csv", "case_id,label,coil", "a,healthy,8ch", "b,,")
    assert read_case_table(path) == {
        "a": {"case_id": "a", "label": "healthy", "coil": "8ch"},
        "b": {"case_id": "b", "label": "", "coil": ""},
    }


def test_slice_rows_are_grouped_by_case(tmp_path: Path) -> None:
    path = write(
        tmp_path / "slices.csv",
        "case_id,axis,slice_index,label",
        "a,2,7,healthy",
        "b,0,1,1",
        "a,2,8,1",
    )
    assert read_slice_table(path) == {"a": (2, {7: False, 8: True}), "b": (0, {1: True})}


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("cases.csv", ["case,label", "a,healthy"], "case_id"),
        ("cases.csv", ["case_id,label", "a,ill"], "line 2: label 'ill'"),
        ("cases.csv", ["case_id,subset", "a,training"], "subset 'training'"),
        ("cases.csv", ["case_id,label", "a,healthy", "a,healthy"], "line 3: case_id 'a'"),
        ("slices.csv", ["case_id,axis,slice_index,label", "a,z,1,1"], "axis 'z'"),
        ("slices.csv", ["case_id,axis,slice_index,label", "a,2,-1,1"], "slice_index '-1'"),
        ("slices.csv", ["case_id,axis,slice_index,label", "a,2,1,maybe"], "label 'maybe'"),
        ("slices.csv", ["case_id,axis,slice_index,label", "a,2,1,1", "a,1,1,1"], "second axis"),
        ("slices.csv", ["case_id,axis,slice_index,label", "a,2,1,1", "a,2,1,0"], "two labels"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, name: str, lines: list[str], message: str) -> None:
    path = write(tmp_path / name, *lines)
    with pytest.raises(UsageError, match=message) as caught:
        read_case_table(path) if name == "cases.csv" else read_slice_table(path)
    assert caught.value.where == str(path)
    assert caught.value.fix
