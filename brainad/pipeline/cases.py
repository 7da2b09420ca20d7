"""Many cases: isolate failures, resume finished work, take a share of the list."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from traceback import format_exc
from typing import TypeVar

from torch import OutOfMemoryError

from brainad.errors import BrainadError, DataError, ResourceError, UsageError
from brainad.pipeline.executors import IN_PROCESS, Executor, Lost
from brainad.pipeline.stop import STOP

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """Why a case could not be processed.

    Args:
        stage: what was being done.
        error_type: ``DataError`` or the type of an unexpected error.
        message: what happened.
        where: file or case.
        fix: what the user can do.
    """

    stage: str
    error_type: str
    message: str
    where: str
    fix: str

    @classmethod
    def of(cls, stage: str, error: DataError) -> Failure:
        """Tell what a data error says, and in which stage it was met."""
        return cls(stage, "DataError", error.what, error.where, error.fix)


@dataclass(frozen=True)
class Outcome:
    """What became of one case in one stage.

    Args:
        case_id: the case.
        seconds: time spent; 0 if the finished work of an earlier run was kept.
        failure: why it failed, or None.
        traceback: of an unexpected error, else empty.
    """

    case_id: str
    seconds: float = 0.0
    failure: Failure | None = None
    traceback: str = ""


Watch = Callable[[str, int, Iterable[Outcome]], Iterator[Outcome]]
"""Passes outcomes through while showing progress: stage, number of cases, outcomes."""


def unwatched(_stage: str, _total: int, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Show nothing: the default for library use."""
    return iter(outcomes)


def attempt(stage: str, case_id: str, work: Callable[[], object]) -> Outcome:
    """Run the work on one case; catch and log what is wrong with that case alone.

    Raises:
        ResourceError, UsageError: stop the whole run.
    """
    return _logged(stage, _attempt(stage, case_id, work))


def _attempt(stage: str, case_id: str, work: Callable[[], object]) -> Outcome:
    started = time.perf_counter()
    failure, traceback = None, ""
    try:
        work()
    except DataError as error:
        failure = Failure.of(stage, error)
    except (ResourceError, UsageError):
        raise
    except MemoryError:
        failure = Failure(
            stage,
            "MemoryError",
            "not enough memory for this case",
            case_id,
            "use fewer processes (-np 1), or a machine with more memory",
        )
    except OutOfMemoryError:
        failure = Failure(
            stage,
            "OutOfMemoryError",
            "not enough memory on the device for this case",
            case_id,
            "end other programs that use the device, choose a smaller batch or image size in the "
            "plan, or use -device cpu",
        )
    except Exception as error:
        # A bug met in one case must not cost the night's other cases; the traceback is kept.
        traceback = format_exc()
        failure = Failure(
            stage,
            type(error).__name__,
            f"unexpected error: {error}",
            case_id,
            "this is a fault of the program: please report it with the log file",
        )
    return Outcome(case_id, time.perf_counter() - started, failure, traceback)


def _logged(stage: str, outcome: Outcome) -> Outcome:
    """Log a failure where the log is: workers elsewhere have none."""
    if outcome.traceback:
        _log.error("unexpected error in case %s\n%s", outcome.case_id, outcome.traceback.rstrip())
    if outcome.failure:
        _log.warning("case %s failed (%s): %s", outcome.case_id, stage, outcome.failure.message)
    return outcome


def run_cases(
    stage: str,
    cases: Sequence[tuple[str, T]],
    work: Callable[[T], object],
    executor: Executor = IN_PROCESS,
) -> Iterator[Outcome]:
    """Yield one outcome per case; a failure stays with its case.

    Args:
        stage: name for messages.
        cases: case id and argument of the work.
        work: picklable if the work is done elsewhere.
        executor: where.

    Raises:
        ResourceError, UsageError: stop the whole run, also because somebody asked for it.
    """
    outcomes = executor.map(partial(_attempt_anywhere, stage, work), cases)
    for (case_id, _), outcome in zip(cases, outcomes, strict=True):
        # Before what a swallowed request did to this case passes for a fault of the case.
        STOP.heed()
        match outcome:
            case Lost(reason):
                yield _logged(stage, Outcome(case_id, failure=_lost(stage, case_id, reason)))
            case BrainadError():
                raise outcome
            case _:
                yield _logged(stage, outcome)


def _attempt_anywhere(
    stage: str, work: Callable[[T], object], case: tuple[str, T]
) -> Outcome | BrainadError:
    case_id, argument = case
    try:
        return _attempt(stage, case_id, lambda: work(argument))
    except BrainadError as error:
        # Raised where the outcomes are read: other processes send values back, not errors.
        return error


def log_repeats(done: str, reasons: Mapping[str, str | None]) -> None:
    """Log which finished work is done again, once per reason.

    Args:
        done: what is done, as in "is prepared".
        reasons: case to why its finished work does not count, or None if there was none.
    """
    known = {case_id: reason for case_id, reason in reasons.items() if reason}
    for reason, count in Counter(known.values()).items():
        example = next(case_id for case_id, other in known.items() if other == reason)
        _log.info("%d cases are %s again, e.g. %s: %s", count, done, example, reason)


def _lost(stage: str, case_id: str, reason: str) -> Failure:
    return Failure(
        stage,
        "WorkerLost",
        reason,
        case_id,
        "give the workers more memory (of a cluster: or fewer threads each), or leave the case out",
    )


@dataclass(frozen=True)
class Share:
    """A part of the case list, for several machines.

    Args:
        parts: number of parts.
        part: index of this one, from 0.

    Raises:
        UsageError: the index is outside the range.
    """

    parts: int = 1
    part: int = 0

    def __post_init__(self) -> None:
        if self.parts < 1 or not 0 <= self.part < self.parts:
            raise UsageError(
                f"part {self.part} of {self.parts} does not exist",
                "-num_parts / -part_id",
                f"-part_id counts from 0 to {max(self.parts - 1, 0)}",
            )

    def of(self, items: Iterable[T]) -> list[T]:
        """Take every `parts`-th item, so that parts stay disjoint however often they rerun."""
        return list(items)[self.part :: self.parts]

    def log_if_idle(self, case_ids: Sequence[str]) -> None:
        """Log that this part has nothing to prepare, if there are more parts than cases."""
        if not self.of(case_ids):
            _log.info(
                "part %d of %d has nothing to prepare: there are only %d cases",
                self.part,
                self.parts,
                len(case_ids),
            )
