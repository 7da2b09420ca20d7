"""Two prompts, normal and abnormal, each with tokens that are learnt."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from brainad.encoders.text_tower import Prompts, TextTower

_FIRST_DEVIATION = 0.02
_PERIOD = "."


class LearnablePrompts(nn.Module):
    """``[start][words][V_1 … V_M][.][end]`` for both classes; only V is learnt.

    The learnable tokens stand behind the words, so that under a causal mask the words do not
    depend on them.

    Args:
        anchors: words of the normal and of the abnormal prompt.
        learnable: M; 0 leaves the plain words.
        width: of a token embedding.
    """

    def __init__(self, anchors: tuple[str, str], learnable: int, width: int) -> None:
        super().__init__()
        self._anchors = anchors
        self.vectors = nn.Parameter(torch.empty(2, learnable, width).normal_(std=_FIRST_DEVIATION))

    def forward(self, text: TextTower) -> Prompts:
        """Put words and learnt tokens together."""
        return text.assemble(
            [[words, own, _PERIOD] for words, own in zip(self._anchors, self.vectors, strict=True)]
        )


def spoken_rows(tokens: Tensor, prompts: Prompts, end_speaks: bool) -> list[Tensor]:
    """Return the rows of each prompt that say something.

    The start token is the same for every prompt, and padding is no word.

    Args:
        tokens: (prompts, longest, width), encoded.
        prompts: what was encoded.
        end_speaks: whether the end token sums its prompt up (CLIP) or only marks the end.

    Returns:
        Per prompt (rows, width).
    """
    last = 0 if end_speaks else 1
    return [
        own[1 : length - last] for own, length in zip(tokens, prompts.lengths.tolist(), strict=True)
    ]
