from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainad.errors import ResourceError, UsageError
from brainad.method import Encoding
from brainad.pipeline.executors import IN_PROCESS, Executor, Lost
from brainad.pipeline.pieces import KeptSpread


def double(number: int) -> Encoding:
    return {"x": np.array(2 * number)}


def refuse(_number: int) -> Encoding:
    raise UsageError("no")


class Deadly:
    """Does the first piece and loses all others."""

    def map(self, work: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterator[Any]:
        yield work(arguments[0])
        yield from (Lost("it died") for _ in arguments[1:])

    def for_threaded_work(self) -> Executor:
        return self


def values(results: Sequence[Encoding] | Iterator[Encoding]) -> list[int]:
    return [int(result["x"]) for result in results]


def test_pieces_are_kept_until_they_are_cleared(tmp_path: Path) -> None:
    seen: list[int] = []

    def counted(number: int) -> Encoding:
        seen.append(number)
        return double(number)

    folder = tmp_path / "scoring"
    assert values(KeptSpread(IN_PROCESS, folder, "a")(counted, [3, 1])) == [6, 2]
    again = KeptSpread(IN_PROCESS, folder, "a")
    assert values(again(counted, [3, 1])) == [6, 2]
    assert seen == [3, 1]
    assert values(again(counted, [5])) == [10]
    assert values(KeptSpread(IN_PROCESS, folder, "b")(counted, [4, 1])) == [8, 2]
    assert seen == [3, 1, 5, 4, 1]
    again.clear()
    assert not folder.exists()


def test_a_piece_that_kills_its_worker_stops_the_run_and_the_others_are_kept(
    tmp_path: Path,
) -> None:
    with pytest.raises(ResourceError, match="it died") as caught:
        KeptSpread(Deadly(), tmp_path, "a")(double, [1, 2, 3])
    assert "block_size" in caught.value.fix
    assert len(list(tmp_path.rglob("piece_*.npz"))) == 1


def test_errors_come_back_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no"):
        KeptSpread(IN_PROCESS, tmp_path, "a")(refuse, [1])
