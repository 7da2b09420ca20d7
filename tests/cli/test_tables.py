from __future__ import annotations

import math

from brainad.cli.tables import format_table


def test_columns_are_aligned_under_their_header() -> None:
    rows = [{"case": "a", "score": 0.123456}, {"case": "longer", "score": 12}]
    assert format_table(rows).splitlines() == [
        "case    score",
        "------  ------",
        "a       0.1235",
        "longer  12",
    ]


def test_what_is_undefined_or_absent_is_a_dash() -> None:
    rows: list[dict[str, object]] = [{"a": None, "b": math.nan}, {"a": math.inf}]
    assert format_table(rows).splitlines()[2:] == ["-  -", "-  -"]


def test_an_empty_table_says_so() -> None:
    assert format_table([]) == "(none)"
