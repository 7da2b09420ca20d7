"""One finding of a check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from brainad.errors import DataError

Level = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Problem:
    """Something a user should know about a case or a dataset.

    Args:
        level: an error keeps the case out; a warning should be looked at; info is handled.
        case_id: the case, or empty if it concerns the dataset.
        check: short name of the check, the same for the same kind of finding.
        message: what was found and what was expected.
        fix: what the user can do.
        files: where it was found.
    """

    level: Level
    case_id: str
    check: str
    message: str
    fix: str
    files: tuple[Path, ...] = ()


def problem_from_error(error: DataError, case_id: str, check: str, *files: Path) -> Problem:
    """Turn an error that was raised for one case into a finding."""
    return Problem("error", case_id, check, error.what, error.fix, files)


def has_errors(problems: Iterable[Problem]) -> bool:
    """Tell whether anything keeps the case from being used."""
    return any(problem.level == "error" for problem in problems)
