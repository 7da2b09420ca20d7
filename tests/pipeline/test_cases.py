from __future__ import annotations

import contextlib
import logging
import runpy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
import torch

from brainad.errors import BrainadError, DataError, ResourceError, UsageError
from brainad.pipeline import executors
from brainad.pipeline.cases import Outcome, Share, attempt, run_cases, unwatched
from brainad.pipeline.executors import InProcess, Lost, Processes
from brainad.pipeline.stop import STOP

FAILING = [
    "from brainad.errors import DataError",
    "raise DataError('too dark', 'a.nii', 'scan again')",
]


def fail_with(error: BaseException) -> Callable[[object], None]:
    def work(_argument: object) -> None:
        raise error

    return work


def scripts(folder: Path, **contents: str) -> list[tuple[str, str]]:
    """Write one program per case: what spawned processes can run wherever they start."""
    for name, content in contents.items():
        (folder / f"{name}.py").write_text(content)
    return [(name, str(folder / f"{name}.py")) for name in contents]


def test_each_case_is_worked_on_in_order() -> None:
    seen: list[int] = []
    outcomes = list(run_cases("check", [("b", 2), ("a", 1)], seen.append))
    assert [outcome.case_id for outcome in outcomes] == ["b", "a"]
    assert seen == [2, 1]
    assert all(outcome.failure is None and outcome.seconds > 0 for outcome in outcomes)


def test_work_is_done_when_its_outcome_is_asked_for() -> None:
    seen: list[int] = []
    outcomes = run_cases("check", [("a", 1), ("b", 2)], seen.append)
    assert seen == []
    next(outcomes)
    assert seen == [1]


def test_a_failure_stays_with_its_case() -> None:
    def work(number: int) -> None:
        if number == 2:
            raise DataError("too dark", "b.nii.gz", "scan again")

    outcomes = list(run_cases("check", [("a", 1), ("b", 2), ("c", 3)], work))
    assert [outcome.failure is None for outcome in outcomes] == [True, False, True]
    failure = outcomes[1].failure
    assert failure is not None
    assert (failure.stage, failure.error_type) == ("check", "DataError")
    assert (failure.message, failure.where, failure.fix) == ("too dark", "b.nii.gz", "scan again")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError", "unexpected error: division"),
        (KeyError("T1"), "KeyError", "unexpected error: 'T1'"),
        (MemoryError(), "MemoryError", "not enough memory for this case"),
        (torch.OutOfMemoryError(), "OutOfMemoryError", "not enough memory on the device"),
    ],
)
def test_an_unexpected_error_costs_one_case_only(error: Exception, kind: str, message: str) -> None:
    first, second = run_cases("encode", [("a", 0), ("b", 0)], fail_with(error))
    for outcome in (first, second):
        assert outcome.failure is not None
        assert outcome.failure.error_type == kind
        assert outcome.failure.message.startswith(message)
        assert outcome.failure.where == outcome.case_id
        assert outcome.failure.fix


def test_the_traceback_of_an_unexpected_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        attempt("encode", "a", lambda: fail_with(ZeroDivisionError("oh"))(None))
    assert "unexpected error in case a" in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    "error", [ResourceError("disk full"), UsageError("wrong plan"), KeyboardInterrupt()]
)
def test_what_concerns_the_whole_run_stops_it(error: BaseException) -> None:
    with pytest.raises(type(error)):
        list(run_cases("check", [("a", 1), ("b", 2)], fail_with(error)))


def test_a_stop_that_was_swallowed_is_no_fault_of_the_case(tmp_path: Path) -> None:
    """Libraries that call back turn the request into an error of their own, or into nothing."""

    def work(number: int) -> None:
        (tmp_path / str(number)).touch()
        if number == 2:
            with contextlib.suppress(ResourceError):
                STOP.make()
            raise DataError("the voxels cannot be read")

    outcomes = run_cases("check", [("a", 1), ("b", 2), ("c", 3)], work)
    try:
        assert next(outcomes).case_id == "a"
        with pytest.raises(ResourceError, match="asked to stop"):
            next(outcomes)
    finally:
        STOP.forget()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_an_exhausted_device_has_a_remedy() -> None:
    outcome = attempt("encode", "a", lambda: fail_with(torch.OutOfMemoryError("CUDA"))(None))
    assert outcome.failure is not None
    assert "-device cpu" in outcome.failure.fix
    assert "fault of the program" not in outcome.failure.fix


def test_watching_nothing_changes_nothing() -> None:
    outcomes = [Outcome("a"), Outcome("b", 2.0)]
    assert list(unwatched("check", 2, outcomes)) == outcomes


def test_worker_processes_give_the_same_outcomes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cases = scripts(tmp_path, a="", b="\n".join(FAILING), c="1 / 0", d="")
    outcomes = list(run_cases("check", cases, runpy.run_path, Processes(2)))
    assert [outcome.case_id for outcome in outcomes] == ["a", "b", "c", "d"]
    kinds = [outcome.failure.error_type if outcome.failure else "" for outcome in outcomes]
    assert kinds == ["", "DataError", "ZeroDivisionError", ""]
    assert outcomes[1].failure is not None
    assert outcomes[1].failure.fix == "scan again"
    # Workers have no log file: it is written here.
    assert "case b failed (check): too dark" in caplog.text
    assert "unexpected error in case c\nTraceback" in caplog.text
    assert caplog.text.count("ZeroDivisionError: division by zero") == 1


def test_a_case_whose_worker_died_is_done_again_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dying = (
        "import os, pathlib\n"
        f"path = pathlib.Path({str(tmp_path)!r}, 'tried')\n"
        "if not path.exists():\n"
        "    path.touch()\n"
        "    os._exit(1)"
    )
    cases = scripts(tmp_path, a="", b=dying, c="")
    outcomes = list(run_cases("check", cases, runpy.run_path, Processes(2)))
    assert [outcome.case_id for outcome in outcomes] == ["a", "b", "c"]
    assert all(outcome.failure is None for outcome in outcomes)
    assert "a worker process died" in caplog.text


def test_a_case_that_kills_its_workers_fails() -> None:
    class Deadly(InProcess):
        def map(self, work: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterator[Any]:
            yield from (Lost("it died"), *map(work, arguments[1:]))

    lost, done = run_cases("prepare", [("a", -1), ("b", 2)], abs, Deadly())
    assert lost.failure is not None
    assert (lost.case_id, lost.failure.error_type) == ("a", "WorkerLost")
    assert lost.failure.message == "it died"
    assert "leave the case out" in lost.failure.fix
    assert (done.case_id, done.failure) == ("b", None)


@pytest.mark.parametrize("kind", [ResourceError, UsageError])
def test_a_worker_can_stop_the_run(tmp_path: Path, kind: type[BrainadError]) -> None:
    stopping = f"from brainad.errors import {kind.__name__}\nraise {kind.__name__}('stop', 'w')"
    outcomes = run_cases(
        "check", scripts(tmp_path, a="", b=stopping, c=""), runpy.run_path, Processes(2)
    )
    assert next(outcomes).case_id == "a"
    with pytest.raises(kind, match="stop") as caught:
        next(outcomes)
    assert caught.value.where == "w"


def test_without_worker_processes_one_is_enough(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no semaphores here")

    monkeypatch.setattr(executors, "ProcessPoolExecutor", refuse)
    seen: list[int] = []
    assert len(list(run_cases("check", [("a", 1), ("b", 2)], seen.append, Processes(2)))) == 2
    assert seen == [1, 2]
    assert "working in one process" in caplog.text


class _DeadOnArrival:
    """A pool whose workers die before they get work."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def submit(self, *_: object) -> None:
        raise BrokenProcessPool("dead")

    def shutdown(self, **_: object) -> None:
        pass


def test_workers_that_die_whatever_they_do_are_no_fault_of_the_cases(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(executors, "ProcessPoolExecutor", _DeadOnArrival)
    seen: list[int] = []
    outcomes = list(run_cases("check", [("a", 1), ("b", 2)], seen.append, Processes(2)))
    assert [outcome.failure for outcome in outcomes] == [None, None]
    assert seen == [1, 2]
    assert "worker processes cannot start (dead)" in caplog.text


@pytest.mark.parametrize("parts", [1, 2, 3, 10])
def test_shares_are_disjoint_and_complete(parts: int) -> None:
    items = list(range(7))
    shares = [Share(parts, part).of(items) for part in range(parts)]
    assert sorted(item for share in shares for item in share) == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert shares[0] == items[::parts]


@pytest.mark.parametrize(("parts", "part"), [(0, 0), (2, 2), (2, -1), (1, 1), (-1, 0)])
def test_a_share_that_does_not_exist_is_refused(parts: int, part: int) -> None:
    with pytest.raises(UsageError, match=f"part {part} of {parts} does not exist") as caught:
        Share(parts, part)
    assert "counts from 0" in caught.value.fix
