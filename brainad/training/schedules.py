"""Learning rates as functions of the iteration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer


@dataclass(frozen=True)
class WarmUpCosine:
    """A linear rise from 0, half a cosine down to the final rate, then constant.

    Args:
        base: highest rate.
        final: last rate.
        total: iterations altogether.
        warm_up: iterations of the rise; iteration 0 has rate 0, the last of the rise `base`.
    """

    base: float
    final: float
    total: int
    warm_up: int

    def rate(self, iteration: int) -> float:
        """Return the rate that is in force at an iteration, counted from 0."""
        if iteration >= self.total:
            return self.final
        if iteration < self.warm_up:
            return self.base * iteration / max(self.warm_up - 1, 1)
        share = (iteration - self.warm_up) / (self.total - self.warm_up)
        return self.final + 0.5 * (self.base - self.final) * (1 + math.cos(math.pi * share))


class ScheduledRate:
    """Sets the rate of an optimiser before every step; a part of a checkpoint.

    Args:
        optimiser: whose groups all get the rate.
        schedule: rate per iteration.
    """

    def __init__(self, optimiser: Optimizer, schedule: WarmUpCosine) -> None:
        self._optimiser = optimiser
        self._schedule = schedule
        self._iteration = 0
        self._apply()

    def step(self) -> None:
        """Go on to the next iteration."""
        self._iteration += 1
        self._apply()

    def _apply(self) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = self._schedule.rate(self._iteration)

    def state_dict(self) -> dict[str, Any]:
        """Return the iteration."""
        return {"iteration": self._iteration}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the iteration."""
        self._iteration = int(state_dict["iteration"])
        self._apply()
