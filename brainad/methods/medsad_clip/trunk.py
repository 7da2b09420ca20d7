"""The blocks of the frozen vision tower, cut at the taps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from brainad.encoders.image_tower import ImageTower


class Trunk:
    """Leads slices from tap to tap.

    Args:
        tower: frozen.
        taps: blocks after which the adapters sit, from 1, ascending.
    """

    def __init__(self, tower: ImageTower, taps: Sequence[int]) -> None:
        self._tower = tower
        self._bounds = (0, *taps)

    @torch.no_grad()
    def enter(self, slices: Tensor) -> Tensor:
        """Bring slices (n, height, width) to the first tap: (n, tokens, width).

        Nothing before the first tap learns, so no gradient is kept.
        """
        return self.advance(0, self._tower.embed(slices))

    def advance(self, tap: int, tokens: Tensor) -> Tensor:
        """Run the blocks that lead to a tap, counted from 0; gradients pass through them."""
        return self._tower.run(tokens, self._bounds[tap], self._bounds[tap + 1])

    @torch.no_grad()
    def all_taps(self, slices: Tensor) -> Tensor:
        """Return (n, taps, tokens, width) of the frozen tower, nothing written back."""
        found = [self.enter(slices)]
        for tap in range(1, len(self._bounds) - 1):
            found.append(self.advance(tap, found[-1]))
        return torch.stack(found, dim=1)
