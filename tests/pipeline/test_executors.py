"""Work on real Dask schedulers and workers, which listen on the loopback address only."""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from brainad.errors import ResourceError, UsageError
from brainad.files import read_json, write_json
from brainad.pipeline import executors
from brainad.pipeline.cases import run_cases
from brainad.pipeline.dataset import PLAN_FILE, PREPARED_FOLDER, DatasetWork
from brainad.pipeline.executors import (
    IN_PROCESS,
    DaskCluster,
    Executor,
    Lost,
    Processes,
    open_executor,
)
from brainad.pipeline.folder import FolderOptions
from brainad.pipeline.predict import DecisionOptions, RunReport, predict_folder
from brainad.pipeline.sources import model_from_plan
from brainad.plan import Resources

ROOT = Path(__file__).parents[2]
loopback = pytest.mark.allow_hosts(["127.0.0.1"])


@dataclass
class Cluster:
    """A scheduler and its workers, each a process that can be killed."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.folder / "scheduler.json"

    def start(self, name: str, *arguments: str) -> None:
        module = "dask_scheduler" if name == "scheduler" else "dask_worker"
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{module}", "--scheduler-file", str(self.file),
             "--host", "127.0.0.1", "--no-dashboard", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / f"{name}.log").open("wb"),
        )  # fmt: skip

    def add_worker(self, name: str) -> None:
        options = ("--nthreads", "1", "--no-nanny", "--memory-limit", "0", "--name", name)
        self.start(name, *options)

    def kill(self, name: str) -> None:
        process = self.processes.pop(name, None)
        if process:
            process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Start a scheduler with two workers of one thread."""
    started = Cluster(tmp_path)
    started.start("scheduler", "--port", "0")
    while not started.file.is_file():
        assert started.processes["scheduler"].poll() is None, "the scheduler did not start"
        time.sleep(0.05)
    for name in ("one", "two"):
        started.add_worker(name)
    yield started
    for name in list(started.processes):
        started.kill(name)


def double(number: int) -> int:
    return 2 * number


def read(path: str) -> str:
    return Path(path).read_text()


def die(_number: int) -> int:
    os._exit(1)


def slowly(work: Callable[[Any], Any], argument: Any) -> Any:
    time.sleep(0.2)
    return work(argument)


@dataclass(frozen=True)
class Murderous:
    """A cluster whose worker is killed in the middle of the n-th stage, while it works."""

    inner: Executor
    kill: Callable[[], None]
    stage: int
    stages: list[int] = field(default_factory=lambda: [0])

    def map(self, work: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterator[Any]:
        if arguments:
            self.stages[0] += 1
        chosen = self.stages[0] == self.stage and bool(arguments)
        for result in self.inner.map(partial(slowly, work) if chosen else work, arguments):
            if chosen:
                self.kill()
            yield result

    def for_threaded_work(self) -> Executor:
        return self


@pytest.mark.parametrize("executor", [IN_PROCESS, Processes(1), Processes(2)])
def test_results_come_in_the_order_of_the_arguments(executor: Executor) -> None:
    assert list(executor.map(abs, [-3, 1, -2])) == [3, 1, 2]
    assert list(executor.map(abs, [])) == []
    assert executor.for_threaded_work() is IN_PROCESS


def test_what_kills_its_workers_is_lost_and_the_rest_stays_in_workers(tmp_path: Path) -> None:
    asking = tmp_path / "asking.py"
    asking.write_text("from multiprocessing import parent_process\ninside = bool(parent_process())")
    deadly = tmp_path / "deadly.py"
    deadly.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    programs = [str(deadly if place == 1 else asking) for place in range(5)]
    results = list(Processes(2).map(runpy.run_path, programs))
    assert [isinstance(result, Lost) for result in results] == [False, True, False, False, False]
    assert all(result["inside"] for result in results if not isinstance(result, Lost))
    # A run that has nothing else left to do survives it too.
    (result,) = Processes(2).map(runpy.run_path, [str(deadly)])
    assert isinstance(result, Lost)


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    waiting = tmp_path / "waiting.py"
    waiting.write_text("print(flush=True)\nimport time\ntime.sleep(600)")
    program = tmp_path / "program.py"
    program.write_text(
        "import runpy\n"
        "from brainad.pipeline.executors import Processes\n"
        "if __name__ == '__main__':\n"
        f"    list(Processes(2).map(runpy.run_path, [{str(waiting)!r}] * 3))"
    )
    with subprocess.Popen(
        [sys.executable, str(program)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        for _ in range(2):
            process.stdout.readline()
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        process.kill()
    deadline = time.monotonic() + 30
    while any(map(lives, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(lives, children))


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_without_a_scheduler_work_stays_here() -> None:
    with open_executor(3) as executor:
        assert executor == Processes(3)


@loopback
def test_nobody_listens_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_SECONDS_TO_CONNECT", 0.2)
    with (
        pytest.raises(UsageError, match="no Dask scheduler answers") as caught,
        open_executor(1, "tcp://127.0.0.1:9"),
    ):
        pass
    assert "dask scheduler" in caught.value.fix


def test_without_dask_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match="not installed"), open_executor(1, "tcp://127.0.0.1:9"):
        pass


@loopback
def test_a_cluster_works_and_its_losses_stay_with_the_case(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_executor(1, str(cluster.file)) as executor:
        assert isinstance(executor, DaskCluster)
        assert executor.for_threaded_work() is executor
        assert list(executor.map(double, [3, 1, 2])) == [6, 2, 4]
        outcomes = list(run_cases("check", [("a", -1), ("b", 2)], double, executor))
        assert [outcome.failure for outcome in outcomes] == [None, None]
    monkeypatch.setattr(executors, "version", lambda _name: "0.0.1")
    with (
        pytest.raises(UsageError, match=r"workers run brainad .*, this is 0\.0\.1"),
        open_executor(1, str(cluster.file)),
    ):
        pass


@loopback
def test_an_error_of_the_work_is_none_of_the_scheduler(cluster: Cluster) -> None:
    with open_executor(1, str(cluster.file)) as executor:
        results = executor.map(read, [str(cluster.file), str(cluster.folder / "missing")])
        first = next(results)
        assert isinstance(first, str)
        assert "tcp" in first
        with pytest.raises(FileNotFoundError, match="missing") as caught:
            next(results)
        assert "in read" in "".join(caught.value.__notes__)


def test_what_the_scheduler_met_in_unpacking_the_work_is_told() -> None:
    class Client:
        status = "closed"
        cause: Exception = UsageError("sees other weights")

        def map(self, *_: object, **__: object) -> None:
            raise RuntimeError("Error during deserialization") from self.cause

    client = Client()
    with pytest.raises(UsageError, match="sees other weights"):
        list(DaskCluster(client, "tcp://a:1").map(double, [1]))
    client.cause = KeyError("x")
    with pytest.raises(RuntimeError, match="deserialization"):
        list(DaskCluster(client, "tcp://a:1").map(double, [1]))


@loopback
def test_work_that_kills_every_worker_is_given_up(cluster: Cluster) -> None:
    with open_executor(1, str(cluster.file)) as executor:
        results = executor.map(die, [1])
        # Dask gives up after the fourth death.
        for name in ("three", "four", "five"):
            cluster.add_worker(name)
        (found,) = results
        assert isinstance(found, Lost)
        assert "died" in found.reason
        outcome = next(run_cases("prepare", [("a", 1)], double, executor))
        assert outcome.failure is None


@loopback
def test_a_lost_scheduler_stops_the_run_with_a_message(cluster: Cluster) -> None:
    with open_executor(1, str(cluster.file)) as executor:
        results = executor.map(partial(slowly, double), list(range(50)))
        assert next(results) == 0
        cluster.kill("scheduler")
        with pytest.raises(ResourceError, match="scheduler is gone") as caught:
            list(results)
    assert "same command" in caught.value.fix


def predict(work: DatasetWork, target: Path, resources: Resources, executor: Executor) -> RunReport:
    return predict_folder(
        work.raw / "imagesTr",
        target,
        model_from_plan(work.derived / PLAN_FILE, "codegraph3d", resources),
        FolderOptions(executor=executor),
        DecisionOptions(),
    )


def delivered(folder: Path) -> dict[str, bytes]:
    """Read maps and masks, and the tables without the measured seconds."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.nii.gz")}
    for marker in sorted((folder / ".brainad" / "cases").glob("*.json")):
        table = read_json(marker)
        table["row"]["runtime_s"] = 0
        found[marker.name] = repr(table).encode()
    found["slices"] = (folder / "slice_scores.csv").read_bytes()
    return found


@pytest.fixture(scope="module")
def in_blocks(phantom_work: DatasetWork, tmp_path_factory: pytest.TempPathFactory) -> DatasetWork:
    """Have the 7 heads compared in blocks of two."""
    derived = tmp_path_factory.mktemp("blocks") / phantom_work.derived.name
    plan = read_json(phantom_work.derived / PLAN_FILE)
    plan["configurations"]["codegraph3d"]["block_size"] = 2
    write_json(derived / PLAN_FILE, plan)
    (derived / PREPARED_FOLDER).symlink_to(phantom_work.derived / PREPARED_FOLDER)
    return DatasetWork(phantom_work.raw, derived)


@pytest.fixture(scope="module")
def here(
    in_blocks: DatasetWork, tmp_path_factory: pytest.TempPathFactory, resources: Resources
) -> Path:
    """Predict in this process."""
    target = tmp_path_factory.mktemp("here")
    predict(in_blocks, target, resources, IN_PROCESS)
    return target


@loopback
@pytest.mark.slow
@pytest.mark.parametrize(("stage", "name"), [(1, "preparing"), (3, "scoring")])
def test_a_worker_that_dies_changes_no_byte(
    cluster: Cluster,
    in_blocks: DatasetWork,
    here: Path,
    resources: Resources,
    tmp_path: Path,
    stage: int,
    name: str,
) -> None:
    target = tmp_path / name
    with open_executor(1, str(cluster.file)) as executor:
        killing = Murderous(executor, lambda: cluster.kill("two"), stage)
        report = predict(in_blocks, target, resources, killing)
    assert "two" not in cluster.processes
    assert killing.stages[0] >= stage
    assert report.failed == []
    assert delivered(target) == delivered(here)
    assert not (target / ".brainad" / "scoring" / "score").exists()


@pytest.mark.slow
def test_a_run_whose_scheduler_died_continues_without_it(
    in_blocks: DatasetWork, here: Path, resources: Resources, tmp_path: Path
) -> None:
    class Gone:
        """Does six pieces of each stage, then its scheduler is gone."""

        def map(self, work: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterator[Any]:
            yield from map(work, arguments[:6])
            if len(arguments) > 6:
                raise ResourceError("the Dask scheduler is gone")

        def for_threaded_work(self) -> Executor:
            return self

    runs = 0
    while True:
        with contextlib.suppress(ResourceError):
            predict(in_blocks, tmp_path, resources, Gone())
            break
        runs += 1
    assert runs >= 4
    assert delivered(tmp_path) == delivered(here)
