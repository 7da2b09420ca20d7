from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from brainad.errors import UsageError
from brainad.training.loop import run_epochs
from brainad.training.session import FolderSession, MemorySession


class _Counter:
    """A part that notes what every epoch drew at random."""

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def epoch(self, _number: int) -> Mapping[str, float]:
        self.drawn.append(float(torch.rand(1)))
        return {"loss": self.drawn[-1]}

    def state_dict(self) -> dict[str, Any]:
        return {"drawn": list(self.drawn)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.drawn = list(state["drawn"])


def train(session: Any, epochs: int = 6, seed: int = 3, keep_every: int = 1) -> _Counter:
    counter = _Counter()
    run_epochs("fit", epochs, {"counter": counter}, counter.epoch, seed, session, keep_every)
    return counter


def test_epochs_are_counted_and_told() -> None:
    session = MemorySession()
    counter = train(session)
    assert [(stage, epoch) for stage, epoch, _ in session.reports] == [
        ("fit", number) for number in range(1, 7)
    ]
    assert [values["loss"] for _, _, values in session.reports] == counter.drawn
    assert len(set(counter.drawn)) == 6


def test_epochs_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = train(MemorySession()).drawn
    torch.manual_seed(2)
    assert train(MemorySession()).drawn == one
    assert train(MemorySession(), seed=4).drawn != one


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("killed_after", [1, 3, 5])
@pytest.mark.parametrize("keep_every", [1, 2])
def test_an_interrupted_stage_ends_like_an_uninterrupted_one(
    tmp_path: Path, killed_after: int, keep_every: int
) -> None:
    def session() -> FolderSession:
        return FolderSession(tmp_path, "key", tmp_path / "arrays")

    counter = _Counter()

    def epoch(number: int) -> Mapping[str, float]:
        if number == killed_after:
            raise _KilledError
        return counter.epoch(number)

    with pytest.raises(_KilledError):
        run_epochs("fit", 6, {"counter": counter}, epoch, 3, session(), keep_every)
    assert train(session(), keep_every=keep_every).drawn == train(MemorySession()).drawn


def test_a_finished_stage_is_restored_and_not_run(caplog: pytest.LogCaptureFixture) -> None:
    session = MemorySession()
    drawn = train(session).drawn
    session.reports.clear()
    with caplog.at_level("INFO", "brainad"):
        assert train(session).drawn == drawn
    assert session.reports == []
    assert caplog.messages == ["fit: 6 of 6 epochs were done before"]


def test_a_loss_that_explodes_is_told() -> None:
    session = MemorySession()
    with pytest.raises(UsageError, match="loss became infinite or undefined in epoch 1") as caught:
        run_epochs("fit", 2, {}, lambda _: {"loss": float("nan")}, 0, session)
    assert "learning rate" in caught.value.fix
    assert session.states == {}
