"""Learning rates per epoch (specification 2.6 and 6)."""

from __future__ import annotations

import math

_WARM_UP_RATE = 1e-5
_HALVING_EPOCHS = 20


def prompt_rate(epoch: int, epochs: int, base: float, warm_up: int) -> float:
    """Return the rate of stage 1: constant and small, then a cosine over all epochs.

    Args:
        epoch: from 0.
        epochs: of the stage.
        base: highest rate.
        warm_up: epochs at the small rate.
    """
    if epoch < warm_up:
        return _WARM_UP_RATE
    return base * 0.5 * (1 + math.cos(math.pi * (epoch - warm_up) / epochs))


def halving_rate(epoch: int, base: float, halving_epochs: int = _HALVING_EPOCHS) -> float:
    """Return the rate of stage 2: halved every 20 epochs, counted from the second epoch."""
    return base * 0.5 ** (max(epoch - 1, 0) // halving_epochs)
