"""Runs a command: logging, signals, error text and exit codes."""

from __future__ import annotations

import argparse
import json
import logging
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from brainad.cli.arguments import Parser
from brainad.errors import BrainadError, DataError, UsageError
from brainad.pipeline.stop import STOP

EXIT_DONE, EXIT_BUG, EXIT_USAGE, EXIT_CASES_FAILED, EXIT_STOPPED = 0, 1, 2, 3, 4

_MANY_FILES = 65_536

_log = logging.getLogger(__name__)


def run(parser: Parser, work: Callable[[argparse.Namespace], int]) -> None:
    """Parse, work, and leave with the promised exit code.

    Args:
        parser: of the command.
        work: receives the arguments and returns 0 or 3.
    """
    arguments = parser.parse_strictly()
    _set_up_logging(arguments)
    STOP.forget()
    signal.signal(signal.SIGTERM, _stop)
    _allow_many_files()
    try:
        code = work(arguments)
    except BrainadError as error:
        _log.debug("traceback", exc_info=True)
        _log.error(str(error))
        code = _exit_code(error)
    except KeyboardInterrupt:
        _log.error("interrupted; the same command continues where this one stopped")
        code = EXIT_STOPPED
    except BrokenPipeError:
        code = EXIT_STOPPED
    except Exception:
        _log.exception("unexpected error: please report it with this text")
        code = EXIT_BUG
    logging.shutdown()
    sys.exit(code)


def _exit_code(error: BrainadError) -> int:
    match error:
        case UsageError():
            return EXIT_USAGE
        case DataError():
            return EXIT_CASES_FAILED
        case _:
            return EXIT_STOPPED


def _allow_many_files() -> None:
    """Let a training keep one array open per case and channel; 1,024 files are customary."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _MANY_FILES)), hard))


def _stop(_signal: int, _frame: FrameType | None) -> None:
    STOP.make()


def _set_up_logging(arguments: argparse.Namespace) -> None:
    level = logging.DEBUG if arguments.verbose else logging.INFO
    if arguments.quiet:
        level = logging.WARNING
    # A request to stop that arrives while a line is written ends up in logging, which would show
    # it as a fault of its own; the work hears the request again between cases.
    logging.raiseExceptions = False
    logger = logging.getLogger("brainad")
    logger.setLevel(logging.DEBUG if arguments.verbose else logging.INFO)
    screen = logging.StreamHandler(sys.stderr)
    screen.setLevel(level)
    screen.setFormatter(_ScreenFormat())
    logger.addHandler(screen)
    if arguments.json_log:
        logger.addHandler(_json_handler(Path(arguments.json_log)))


def log_to_file(path: Path) -> None:
    """Also append the log, with times, to a file.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write here: {error.strerror}", str(path.parent), "choose another folder"
        ) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("brainad").addHandler(handler)


def _json_handler(path: Path) -> logging.Handler:
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        _log.error("%s", UsageError(f"cannot write the log: {error}", str(path), "--json_log"))
        sys.exit(EXIT_USAGE)
    handler.setFormatter(_JsonFormat())
    return handler


class _ScreenFormat(logging.Formatter):
    _PREFIX = {logging.WARNING: "WARN   ", logging.ERROR: "ERROR  "}  # noqa: RUF012

    def format(self, record: logging.LogRecord) -> str:
        return self._PREFIX.get(record.levelno, "") + super().format(record)


class _JsonFormat(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created)),
                "level": record.levelname,
                "logger": record.name,
                "message": record.getMessage(),
            }
        )
