"""The one training loop: restore, then per epoch seed, work, keep, report."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from brainad.errors import UsageError
from brainad.method import Session
from brainad.training.seeding import seed_everything, stream_seed

_log = logging.getLogger(__name__)

Epoch = Callable[[int], Mapping[str, float]]


class Stateful(Protocol):
    """What a checkpoint holds a part of: a network, an optimiser, a schedule."""

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Restore what `state_dict` returned."""


def run_epochs(
    stage: str,
    epochs: int,
    parts: Mapping[str, Stateful],
    epoch: Epoch,
    seed: int,
    session: Session,
    keep_every: int = 1,
) -> None:
    """Run the epochs of a stage that are not done yet.

    Every epoch starts from seeds that depend on nothing but (seed, stage, epoch), so a stage
    that was interrupted ends with the same parts as one that was not. A stage that is finished
    is restored and not run.

    Args:
        stage: name of the stage, unique within the training.
        epochs: number of epochs.
        parts: everything that changes during the stage; restored before the first epoch.
        epoch: does the work of one epoch, given its number from 0, and returns what it measured.
        seed: of the training.
        session: keeps checkpoints and shows progress.
        keep_every: epochs between checkpoints; the last epoch is always kept.

    Raises:
        UsageError: a measured value is not finite.
    """
    state = session.load(stage)
    done = 0
    if state is not None:
        done = int(state["epochs_done"])
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        _log.info("%s: %d of %d epochs were done before", stage, done, epochs)
    for number in range(done, epochs):
        seed_everything(stream_seed(seed, stage, number))
        values = epoch(number)
        _require_finite(stage, number, values)
        if (number + 1) % keep_every == 0 or number + 1 == epochs:
            kept = {name: part.state_dict() for name, part in parts.items()}
            session.save(stage, {"epochs_done": number + 1, "parts": kept})
        session.report(stage, number + 1, epochs, values)


def _require_finite(stage: str, number: int, values: Mapping[str, float]) -> None:
    wrong = [name for name, value in values.items() if not math.isfinite(value)]
    if wrong:
        raise UsageError(
            f"{', '.join(wrong)} became infinite or undefined in epoch {number + 1}",
            f"training stage {stage}",
            "lower the learning rate in the plan",
        )
