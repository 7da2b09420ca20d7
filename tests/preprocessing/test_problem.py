from __future__ import annotations

from pathlib import Path

from brainad.errors import DataError
from brainad.preprocessing.problem import Problem, has_errors, problem_from_error


def test_only_errors_keep_a_case_out() -> None:
    warning = Problem("warning", "a", "check", "message", "fix")
    error = Problem("error", "a", "check", "message", "fix")
    assert not has_errors([])
    assert not has_errors([warning])
    assert has_errors([warning, error])


def test_an_error_becomes_a_finding() -> None:
    problem = problem_from_error(DataError("broken", "file", "mend"), "a", "readable", Path("f"))
    assert problem == Problem("error", "a", "readable", "broken", "mend", (Path("f"),))
