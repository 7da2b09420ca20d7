"""Where work is done: in this process, in worker processes here, or on a Dask cluster.

Stages hand over one picklable function and many arguments; they get the results in order and do
not know where they come from.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from traceback import format_exc
from typing import Any, Protocol, TypeVar

from brainad.errors import BrainadError, ResourceError, UsageError

_log = logging.getLogger(__name__)
A = TypeVar("A")
R = TypeVar("R")

# A cluster that is asked for is there, or a typing mistake is found soon.
_SECONDS_TO_CONNECT = 30


@dataclass(frozen=True)
class Lost:
    """Stands in for a result that cannot be had because the work kills whoever does it."""

    reason: str


class Executor(Protocol):
    """Does work somewhere."""

    def map(self, work: Callable[[A], R], arguments: Sequence[A]) -> Iterator[R | Lost]:
        """Yield one result per argument, in order; work may be done more than once.

        Raises:
            ResourceError: whoever does the work is gone.
        """

    def for_threaded_work(self) -> Executor:
        """Return where work is done that keeps all cores of a machine busy by itself."""


@dataclass(frozen=True)
class InProcess:
    """Does the work here and now."""

    def map(self, work: Callable[[A], R], arguments: Sequence[A]) -> Iterator[R | Lost]:
        """Work when the result is asked for."""
        yield from map(work, arguments)

    def for_threaded_work(self) -> Executor:
        """Return this one."""
        return self


IN_PROCESS = InProcess()


@dataclass(frozen=True)
class Processes:
    """Uses worker processes on this machine.

    Args:
        count: of processes; 1 works in this one.
    """

    count: int

    def map(self, work: Callable[[A], R], arguments: Sequence[A]) -> Iterator[R | Lost]:
        """Use pools; what a worker may have died of (memory) is done again, alone."""
        if self.count < 2:
            yield from IN_PROCESS.map(work, arguments)
            return
        done = 0
        while done < len(arguments):
            try:
                for result in self._use_one_pool(work, arguments[done:]):
                    done += 1
                    yield result
            except _NoWorkersError as error:
                _log.warning("worker processes cannot start (%s): working in one process", error)
                yield from IN_PROCESS.map(work, arguments[done:])
                return

    def _use_one_pool(self, work: Callable[[A], R], arguments: Sequence[A]) -> Iterator[R | Lost]:
        """Yield results until a worker died and all that was under way then is settled."""
        suspects = 0
        with _pool(self.count) as pool:
            futures = [_submit(pool, work, argument) for argument in arguments]
            for argument, future in zip(arguments, futures, strict=True):
                if not isinstance(future.exception(), BrokenProcessPool):
                    yield future.result()
                    continue
                yield _do_alone(work, argument)
                suspects += 1
                # Work is taken in order: later pieces waited, and a new pool may have them.
                if suspects == self.count:
                    return

    def for_threaded_work(self) -> Executor:
        """Return this process: networks use all cores, and one copy of them is enough."""
        return IN_PROCESS


class _NoWorkersError(Exception):
    """Worker processes do not start here, whatever their work is."""


@contextmanager
def _pool(count: int) -> Iterator[ProcessPoolExecutor]:
    try:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(count, mp_context=context, initializer=_end_with_parent)
    except OSError as error:
        raise _NoWorkersError(error) from error
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Have this worker end when its parent is killed: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only workers are initialized"
    Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    wait([sentinel])
    # Neither exceptions nor clean-up of other threads may hold up the end of the process.
    os._exit(1)


def _submit(pool: ProcessPoolExecutor, work: Callable[[A], R], argument: A) -> Future[R]:
    try:
        return pool.submit(work, argument)
    except BrokenProcessPool as error:
        # A worker died of earlier pieces: the later ones learn it the same way.
        future: Future[R] = Future()
        future.set_exception(error)
        return future
    except OSError as error:
        raise _NoWorkersError(error) from error


def _do_alone(work: Callable[[A], R], argument: A) -> R | Lost:
    """Give work to a worker of its own, which has the machine's memory to itself."""
    _log.warning("a worker process died: what it may have died of is done again, alone")
    with _pool(1) as pool:
        started = _submit(pool, abs, 0)
        if isinstance(started.exception(), BrokenProcessPool):
            raise _NoWorkersError(started.exception())
        try:
            return pool.submit(work, argument).result()
        except BrokenProcessPool:
            return Lost("two worker processes that worked on it died, mostly for want of memory")


class DaskCluster:
    """Uses the workers of a Dask cluster that someone else runs.

    Input, output and weights are files: all workers see them under the same paths.

    Args:
        client: connected to the scheduler.
        scheduler: as the user named it, for messages.
    """

    def __init__(self, client: Any, scheduler: str) -> None:
        self._client = client
        self._scheduler = scheduler

    def map(self, work: Callable[[A], R], arguments: Sequence[A]) -> Iterator[R | Lost]:
        """Submit everything; Dask repeats the work of workers that die."""
        from distributed import KilledWorker  # noqa: PLC0415 - an extra

        futures: list[Any] = []
        try:
            with self._needed():
                futures += self._client.map(partial(_caught, work), arguments, pure=False)
            for future in futures:
                try:
                    with self._needed():
                        result = future.result()
                except KilledWorker:
                    result = Lost("every worker that worked on it died, mostly for want of memory")
                if isinstance(result, _Raised):
                    result.error.add_note(result.traceback)
                    raise result.error
                yield result
        finally:
            if self._client.status == "running":
                self._client.cancel(futures)

    @contextmanager
    def _needed(self) -> Iterator[None]:
        from distributed.comm.core import CommClosedError  # noqa: PLC0415 - an extra

        try:
            yield
        except (CancelledError, CommClosedError, TimeoutError, OSError) as error:
            raise ResourceError(
                f"the Dask scheduler is gone: {error}",
                self._scheduler,
                "start it and its workers again and run the same command; finished work is kept",
            ) from error
        except RuntimeError as error:
            # The scheduler unpacks the work as workers do, and hides what it met in doing so.
            if isinstance(error.__cause__, BrainadError):
                raise error.__cause__ from None
            raise

    def for_threaded_work(self) -> Executor:
        """Return this one: a worker is a machine, or a part of one."""
        return self


@dataclass(frozen=True)
class _Raised:
    """An error of the work, which must not pass for one of the cluster.

    Args:
        error: what the work raised.
        traceback: where, as text.
    """

    error: Exception
    traceback: str


def _caught(work: Callable[[A], R], argument: A) -> R | _Raised:
    try:
        return work(argument)
    except Exception as error:
        # Of whatever kind: it is raised again where the result is asked for.
        return _Raised(error, format_exc())


@contextmanager
def open_executor(processes: int, scheduler: str | None = None) -> Iterator[Executor]:
    """Open the place where work is done.

    Args:
        processes: worker processes on this machine, without a scheduler.
        scheduler: address (``tcp://host:port``) or scheduler file of a Dask cluster.

    Raises:
        UsageError: Dask is not installed, no scheduler answers, or its workers run another
            version of brainad.
    """
    if not scheduler:
        yield Processes(processes)
        return
    client = _connect(scheduler)
    try:
        yield DaskCluster(client, scheduler)
    finally:
        client.close()


def _connect(scheduler: str) -> Any:
    try:
        from distributed import Client  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise UsageError(
            "Dask is not installed", "-scheduler", "pip install 'brainad[distributed]'"
        ) from error
    is_file = Path(scheduler).is_file()
    where = {"scheduler_file": scheduler} if is_file else {"address": scheduler}
    try:
        client = Client(**where, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers: {error}",
            scheduler,
            "give its address (tcp://host:8786) or the file that `dask scheduler "
            "--scheduler-file FILE` wrote",
        ) from error
    _log.info("waiting for the first worker of %s", scheduler)
    client.wait_for_workers(1)
    _require_same_version(client, scheduler)
    return client


def _require_same_version(client: Any, scheduler: str) -> None:
    own = _own_version()
    found = client.run(_own_version, on_error="return")
    others = {str(answer) for answer in found.values()} - {own}
    if others:
        client.close()
        raise UsageError(
            f"workers run brainad {', '.join(sorted(others))}, this is {own}",
            scheduler,
            "install the same version everywhere and start the workers again",
        )
    _log.info("%d Dask workers are there", len(found))


def _own_version() -> str:
    return version("brainad")
