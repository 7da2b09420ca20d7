from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Iterator

import pytest

from brainad.cli import progress
from brainad.cli.progress import make_watch
from brainad.pipeline.cases import Failure, Outcome

OUTCOMES = [
    Outcome("a", 2.0),
    Outcome("b"),
    Outcome("c", 1.0, Failure("encode", "DataError", "too dark", "", "")),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_every_case_gets_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "brainad"):
        assert list(make_watch(False, False)("encode", 3, OUTCOMES)) == OUTCOMES
    shown = [re.sub(r"about \d+", "about N", record.getMessage()) for record in caplog.records]
    assert shown == [
        "encode 1/3  a done  2.0 s, about N s left",
        "encode 2/3  b kept  0.0 s, about N s left",
        "encode 3/3  c failed  1.0 s, about N s left",
    ]


@pytest.mark.parametrize("disabled", [False, True])
def test_a_terminal_shows_a_bar_unless_it_is_disabled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, disabled: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with caplog.at_level("INFO", "brainad"):
        assert list(make_watch(disabled, False)("encode", 3, OUTCOMES)) == OUTCOMES
    assert ("3/3" in terminal.getvalue()) is not disabled
    assert len(caplog.records) == (3 if disabled else 0)


def test_quiet_shows_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with caplog.at_level("INFO", "brainad"):
        assert list(make_watch(False, True)("encode", 3, OUTCOMES)) == OUTCOMES
    assert terminal.getvalue() == ""
    assert caplog.records == []


def test_a_long_case_never_looks_frozen(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "_HEARTBEAT_SECONDS", 0.01)

    def slow() -> Iterator[Outcome]:
        yield Outcome("a", 1.0)
        deadline = time.monotonic() + 10
        while "encode: 1 of 2 finished after" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        yield Outcome("b", 1.0)

    with caplog.at_level("INFO", "brainad"):
        list(make_watch(True, False)("encode", 2, slow()))
    assert "encode: 1 of 2 finished after 0 s" in caplog.text
    count = len(caplog.records)
    time.sleep(0.1)
    assert len(caplog.records) == count
