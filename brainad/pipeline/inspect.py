"""Check and measure all cases before work starts; what was found is kept on disk."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from brainad.case import Case
from brainad.errors import DataError, UsageError
from brainad.files import read_json, value_hash, write_json
from brainad.pipeline.cases import Failure, Watch, run_cases, unwatched
from brainad.pipeline.executors import IN_PROCESS, Executor
from brainad.pipeline.resources import require_memory
from brainad.plan import CaseFingerprint, Fingerprint, Table, from_table, to_table
from brainad.planning.fingerprint import assemble, input_hash, measure_case
from brainad.preprocessing.cohort import check_cohort
from brainad.preprocessing.integrity import check_anatomy, check_case
from brainad.preprocessing.labels import Expectations
from brainad.preprocessing.problem import Problem, has_errors
from brainad.preprocessing.template import MNI152, load_template

_log = logging.getLogger(__name__)

# A check takes a fraction of a second, starting a worker process several.
_WORTH_A_POOL = 50


@dataclass(frozen=True)
class Finding(Table):
    """What was found out about one case.

    Args:
        key: identifies files, labels and expectations; another key means out of date.
        measured: the measurements, or None if something is wrong with the case.
        problems: everything that was noticed.
    """

    key: str
    measured: CaseFingerprint | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Inspection:
    """What was found out about all cases.

    Args:
        inputs: hash of all input files.
        findings: per case that was looked at.
        failures: per case that cannot be used, the first reason.
    """

    inputs: str
    findings: Mapping[str, Finding]
    failures: Mapping[str, Failure]

    @property
    def measured(self) -> list[CaseFingerprint]:
        """Return the measurements of all usable cases."""
        usable = [f.measured for name, f in self.findings.items() if name not in self.failures]
        return [measured for measured in usable if measured is not None]

    @property
    def fingerprint(self) -> Fingerprint:
        """Return the measurements of the data set.

        Raises:
            UsageError: no case is usable.
        """
        return assemble(self.measured, self.inputs)

    @property
    def remarks(self) -> dict[str, tuple[str, ...]]:
        """Return the warnings about each usable case; those about the cohort are filed under ""."""
        warnings = [problem for problem in self.problems if problem.level == "warning"]
        return {
            case_id: tuple(p.message for p in warnings if p.case_id == case_id)
            for case_id in dict.fromkeys(problem.case_id for problem in warnings)
        }

    @property
    def problems(self) -> list[Problem]:
        """Return all problems, of single cases and of the cohort, worst first."""
        order = ("error", "warning", "info")
        found = [problem for finding in self.findings.values() for problem in finding.problems]
        return sorted([*found, *check_cohort(self.measured)], key=lambda p: order.index(p.level))


def inspect_cases(
    cases: Sequence[Case],
    folder: Path,
    expectations: Expectations | None = None,
    watch: Watch = unwatched,
    executor: Executor = IN_PROCESS,
) -> Inspection:
    """Check and measure cases; those that did not change since the last time are not read again.

    Args:
        cases: what to look at.
        folder: where findings are kept, one file per case.
        expectations: channels and label values that a dataset declares.
        watch: shows progress.
        executor: where the work is done.
    """
    todo = [case for case in cases if _stored(folder, expectations, case) is None]
    work = partial(_inspect, folder, expectations)
    where = executor if len(todo) >= _WORTH_A_POOL else IN_PROCESS
    outcomes = run_cases("check", [(case.case_id, case) for case in todo], work, where)
    failures = {}
    for outcome in watch("check", len(todo), outcomes):
        if outcome.failure:
            failures[outcome.case_id] = outcome.failure
    findings = {}
    for case in cases:
        finding = _stored(folder, expectations, case)
        if finding is not None:
            findings[case.case_id] = finding
            failure = _failure(case, finding)
            if failure:
                failures[case.case_id] = failure
    return Inspection(input_hash(cases), findings, failures)


def _inspect(folder: Path, expectations: Expectations | None, case: Case) -> None:
    require_memory(case)
    checked = check_case(case, expectations)
    problems = list(checked.problems)
    measured = None
    if checked.images and not has_errors(problems):
        template = load_template(MNI152).image
        measured = measure_case(checked.case, checked.images, checked.lesion, template)
        problems += check_anatomy(checked.case, measured)
    finding = Finding(_key(case, expectations), measured, tuple(problems))
    write_json(_path(folder, case), to_table(finding))


def _path(folder: Path, case: Case) -> Path:
    return folder / f"{case.case_id}.json"


def _key(case: Case, expectations: Expectations | None) -> str:
    expected = expectations or Expectations()
    values = (expected.label_values, expected.anomaly_labels)
    return value_hash(
        [
            input_hash([case]),
            expected.channels,
            expected.required_channels,
            [None if value is None else sorted(value) for value in values],
        ]
    )


def _stored(folder: Path, expectations: Expectations | None, case: Case) -> Finding | None:
    path = _path(folder, case)
    if not path.is_file():
        return None
    try:
        finding = from_table(Finding, read_json(path), str(path))
    except UsageError as error:
        _log.info("checking case %s again: %s", case.case_id, error.what)
        return None
    if finding.key != _key(case, expectations):
        _log.info(
            "checking case %s again: its files or what is known about it changed", case.case_id
        )
        return None
    return finding


def _failure(case: Case, finding: Finding) -> Failure | None:
    """Turn the first error into the reason why the case is left out."""
    for problem in finding.problems:
        if problem.level == "error":
            files = ", ".join(str(path) for path in problem.files)
            where = files or f"case {case.case_id}"
            return Failure("check", "DataError", problem.message, where, problem.fix)
    return None


def log_contradictions(failures: Mapping[str, DataError]) -> None:
    """Log which cases cannot be used because their files contradict each other."""
    for case_id, error in failures.items():
        _log.warning("case %s cannot be used: %s (%s)", case_id, error.what, error.fix)


def log_problems(problems: Sequence[Problem], shown: int = 3) -> None:
    """Log problems grouped by kind, so that one cause does not flood the screen."""
    counts = Counter((problem.level, problem.check) for problem in problems)
    for (level, check), count in counts.items():
        kind = [p for p in problems if (p.level, p.check) == (level, check)]
        log = _log.info if level == "info" else _log.warning
        for problem in kind[:shown]:
            name = f"case {problem.case_id}: " if problem.case_id else ""
            log("%s%s%s", name, problem.message, f" ({problem.fix})" if problem.fix else "")
        if count > shown:
            log("... and %d more of the kind %r", count - shown, check)
