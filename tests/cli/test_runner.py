from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from brainad.cli.arguments import Parser
from brainad.cli.runner import log_to_file, run
from brainad.errors import DataError, ResourceError, UsageError
from brainad.pipeline.stop import STOP

Command = Callable[..., tuple[int, str, str]]

log = logging.getLogger("brainad.test")


def main(work: Callable[[], int]) -> Callable[[], None]:
    return lambda: run(Parser("brainad_test", ""), lambda _arguments: work())


def failing(error: BaseException) -> Callable[[], None]:
    def work() -> int:
        raise error

    return main(work)


def talk() -> int:
    log.debug("a detail")
    log.info("progress")
    log.warning("odd")
    sys.stdout.write("result\n")
    return 0


@pytest.mark.parametrize("code", [0, 3])
def test_the_work_says_how_it_went(command: Command, code: int) -> None:
    assert command(main(lambda: code)) == (code, "", "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("wrong path", "/in", "check it"), 2),
        (DataError("too dark", "/in", "scan again"), 3),
        (ResourceError("disk full", "/out", "free some space"), 4),
    ],
)
def test_every_kind_of_error_has_its_code_and_three_lines(
    command: Command, error: UsageError | DataError | ResourceError, code: int
) -> None:
    found, out, err = command(failing(error))
    assert (found, out) == (code, "")
    assert err == f"ERROR  {error.what}\n  where  {error.where}\n  fix    {error.fix}\n"


def test_a_bug_ends_with_code_1_and_is_shown_in_full(command: Command) -> None:
    code, _, err = command(failing(ZeroDivisionError("oh")))
    assert code == 1
    assert "ERROR  unexpected error: please report it with this text" in err
    assert "ZeroDivisionError: oh" in err


def test_tracebacks_of_expected_errors_are_for_those_who_ask(command: Command) -> None:
    error = UsageError("wrong path")
    assert "Traceback" not in command(failing(error))[2]
    assert "Traceback" in command(failing(error), "--verbose")[2]


def test_an_interrupted_run_says_how_to_continue(command: Command) -> None:
    code, _, err = command(failing(KeyboardInterrupt()))
    assert code == 4
    assert "the same command continues where this one stopped" in err


def test_a_closed_pipe_ends_without_a_word(command: Command) -> None:
    assert command(failing(BrokenPipeError())) == (4, "", "")


def test_the_batch_system_may_stop_a_run(command: Command) -> None:
    def work() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    code, _, err = command(main(work))
    assert code == 4
    assert "ERROR  asked to stop (SIGTERM)\n  fix    the same command continues" in err


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        ((), "progress\nWARN   odd\n"),
        (("-q",), "WARN   odd\n"),
        (("--quiet",), "WARN   odd\n"),
        (("--verbose",), "a detail\nprogress\nWARN   odd\n"),
    ],
)
def test_results_go_to_stdout_and_messages_to_stderr(
    command: Command, flags: tuple[str, ...], shown: str
) -> None:
    assert command(main(talk), *flags) == (0, "result\n", shown)


def test_a_stop_that_arrives_while_a_line_is_written_is_heard_afterwards(
    command: Command,
) -> None:
    class Line:
        def __str__(self) -> str:
            os.kill(os.getpid(), signal.SIGTERM)
            return "progress"

    def work() -> int:
        log.info(Line())
        log.info("swallowed")
        STOP.heed()
        return 0

    code, _, messages = command(main(work))
    assert code == 4
    assert "swallowed" in messages
    assert "asked to stop" in messages
    assert "Traceback" not in messages


def test_the_log_is_also_kept_as_json(command: Command, tmp_path: Path) -> None:
    for _ in range(2):
        command(main(talk), "-q", "--json_log", tmp_path / "log.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == 2 * [
        ("INFO", "progress"),
        ("WARNING", "odd"),
    ]
    assert lines[0]["logger"] == "brainad.test"
    assert "T" in lines[0]["time"]


def test_a_json_log_that_cannot_be_written_stops_everything(
    command: Command, tmp_path: Path
) -> None:
    code, out, err = command(main(talk), "--json_log", tmp_path / "absent" / "log.jsonl")
    assert (code, out) == (2, "")
    assert "ERROR  cannot write the log" in err
    assert f"  where  {tmp_path / 'absent' / 'log.jsonl'}" in err


def test_the_log_file_keeps_times(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log.txt"

    def work() -> int:
        log_to_file(path)
        return talk()

    command(main(work), "-q")
    lines = path.read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["INFO progress", "WARNING odd"]


def test_a_log_file_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write here") as caught:
        log_to_file(tmp_path / "file" / "log.txt")
    assert caught.value.where == str(tmp_path / "file")


def test_arguments_reach_the_work(command: Command) -> None:
    seen: list[argparse.Namespace] = []

    def remember(arguments: argparse.Namespace) -> int:
        seen.append(arguments)
        return 0

    parser = Parser("brainad_test", "")
    parser.flag("-o", required=True)
    command(lambda: run(parser, remember), "-o", "there")
    assert seen[0].o == "there"


def test_a_work_may_keep_many_files_open(command: Command) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    seen: list[int] = []

    def work() -> int:
        seen.append(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        return 0

    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        command(main(work))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert seen == [min(before[1], 65_536)]
