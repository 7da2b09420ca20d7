"""Learnable text prompts around the class words (specification 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from brainad.encoders.text_tower import Prompts, TextTower

Position = Literal["middle", "end"]

STD = 0.02
_STOP = "."


class TextPrompts(nn.Module):
    """Context vectors that all classes share.

    Args:
        tower: frozen text tower.
        words: of the classes.
        tokens: number of context vectors.
        position: of the class words: ``middle`` of the context (published) or its ``end``
            (released).
    """

    def __init__(
        self, tower: TextTower, words: Sequence[str], tokens: int, position: Position
    ) -> None:
        super().__init__()
        self.context = nn.Parameter(torch.randn(tokens, tower.width) * STD)
        self._tower = tower
        self._words = tuple(words)
        self._before = tokens // 2 if position == "middle" else tokens

    def assemble(self) -> Prompts:
        """Return one prompt per class: context, class word, context, full stop."""
        before, after = self.context[: self._before], self.context[self._before :]
        return self._tower.assemble([[before, word, after, _STOP] for word in self._words])

    def forward(self) -> Tensor:
        """Return one feature per class, not normalised: (classes, width)."""
        return self._tower.encode(self.assemble())[1]
