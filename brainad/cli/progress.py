"""Progress over cases: a bar on a terminal, otherwise one line per case and a heartbeat."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator

from tqdm import tqdm

from brainad.pipeline.cases import Outcome, Watch

_log = logging.getLogger(__name__)
_HEARTBEAT_SECONDS = 30.0


def make_watch(disable_bar: bool, quiet: bool) -> Watch:
    """Choose how progress is shown: bar, lines, or nothing."""
    if quiet:
        return lambda _stage, _total, outcomes: iter(outcomes)
    return _lines if disable_bar or not sys.stderr.isatty() else _bar


def _bar(stage: str, total: int, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    with tqdm(total=total, desc=stage, unit="case", file=sys.stderr) as bar:
        for outcome in outcomes:
            bar.update()
            yield outcome


def _lines(stage: str, total: int, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    started = time.perf_counter()
    beat = _Heartbeat(stage, total)
    try:
        for done, outcome in enumerate(outcomes, start=1):
            beat.done = done
            left = (time.perf_counter() - started) / done * (total - done)
            state = "failed" if outcome.failure else "done" if outcome.seconds else "kept"
            _log.info(
                "%s %d/%d  %s %s  %.1f s, about %.0f s left",
                stage, done, total, outcome.case_id, state, outcome.seconds, left,
            )  # fmt: skip
            yield outcome
    finally:
        beat.stop()


class _Heartbeat:
    """Says every half minute that work goes on, so that a log never looks frozen."""

    def __init__(self, stage: str, total: int) -> None:
        self.done = 0
        self._stage, self._total = stage, total
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        started = time.perf_counter()
        while not self._stopped.wait(_HEARTBEAT_SECONDS):
            elapsed = time.perf_counter() - started
            _log.info(
                "%s: %d of %d finished after %.0f s", self._stage, self.done, self._total, elapsed
            )

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
