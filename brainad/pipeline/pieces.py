"""The pieces of a cohort's scoring: done anywhere, kept on disk until the cohort is scored."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from brainad.arrays import ArrayFolder
from brainad.errors import BrainadError, ResourceError
from brainad.files import compose_key
from brainad.method import Encoding
from brainad.pipeline.executors import Executor, Lost
from brainad.pipeline.stop import STOP

_log = logging.getLogger(__name__)
A = TypeVar("A")


class KeptSpread:
    """Spreads pieces of work and keeps their results, so that a killed run loses few of them.

    A method asks for the same pieces in the same order each time, hence a piece is known by its
    number. Results go through files: whoever does a piece writes it, and nobody holds them all.

    Args:
        executor: does the work.
        folder: for the results; removed by `clear`.
        key: identifies everything that the pieces depend on.
    """

    def __init__(self, executor: Executor, folder: Path, key: str) -> None:
        self._executor = executor
        self._folder = folder
        self._key = key
        self._round = 0

    def __call__(
        self, work: Callable[[A], Encoding], arguments: Sequence[A], /
    ) -> Iterator[Encoding]:
        """Do the pieces that are not done yet; yield all results in order.

        Raises:
            ResourceError: a piece kills whoever does it, or the run was asked to stop.
        """
        self._round += 1
        results = ArrayFolder(self._folder / f"round_{self._round:03d}", compressed=False)
        key = compose_key(cohort=self._key, pieces=str(len(arguments)))
        names = [f"piece_{number:06d}" for number in range(len(arguments))]
        todo = [
            (name, argument)
            for name, argument in zip(names, arguments, strict=True)
            if not results.holds(name, key)
        ]
        if len(todo) < len(names):
            _log.info("%d of %d pieces are kept", len(names) - len(todo), len(names))
        for failed in self._executor.map(partial(_work, work, results, key), todo):
            STOP.heed()
            if isinstance(failed, Lost):
                raise ResourceError(
                    f"cases cannot be compared: {failed.reason}",
                    str(self._folder),
                    "choose a smaller block_size in the plan, or give the workers more memory",
                )
            if failed is not None:
                raise failed
        return map(results.read, names)

    def clear(self) -> None:
        """Remove the results."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _work(
    work: Callable[[A], Encoding], results: ArrayFolder, key: str, item: tuple[str, A]
) -> BrainadError | None:
    name, argument = item
    try:
        results.write(name, key, work(argument))
    except BrainadError as error:
        return error
    return None
