"""Deep visual prompts (specification 2.3) and class-aware visual prompts (2.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from brainad.encoders.image_tower import Block
from brainad.methods.rasalore.text_prompts import STD

_ATTENTION_WIDTH = 32
_CONTEXT = 10


class DeepPrompts(nn.Module):
    """Tokens of their own for a number of blocks.

    Args:
        blocks: that get prompts.
        tokens: per block.
        width: of a token.
    """

    def __init__(self, blocks: int, tokens: int, width: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(blocks, tokens, width) * STD)

    def forward(self, block: Block, number: int, tokens: Tensor) -> Tensor:
        """Run a block with its prompts appended; what comes out in their places is dropped.

        Args:
            block: of the frozen tower.
            number: of the block among those that have prompts.
            tokens: (n, tokens, width).
        """
        prompts = self.tokens[number].expand(len(tokens), -1, -1)
        return block(torch.cat([tokens, prompts], 1))[:, : tokens.shape[1]]


class ClassAwarePrompts(nn.Module):
    """Turns the text feature of each class into a prompt by looking at the image.

    Args:
        width: of an image token.
        text_width: of a text feature.
        classes: number of classes.
    """

    def __init__(self, width: int, text_width: int, classes: int) -> None:
        super().__init__()
        self.proj = nn.Linear(text_width, width)
        self.ctx = nn.Parameter(torch.randn(_CONTEXT, width) * STD)
        self.q = nn.Linear(width, _ATTENTION_WIDTH, bias=False)
        self.k = nn.Linear(width, _ATTENTION_WIDTH, bias=False)
        self.v = nn.Linear(width, width, bias=False)
        self.ln_cls = nn.LayerNorm(width)
        self.aux = nn.Linear(width, classes, bias=False)
        self.ln_out = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Make the prompts of the last block.

        Args:
            tokens: (n, tokens, width) that enter the block; no gradient reaches them.
            text: (classes, text_width) or (n, classes, text_width), not normalised.

        Returns:
            Prompts (n, classes, width), auxiliary logits (n, classes, classes) and attention
            (n, classes, tokens + 10).
        """
        text = text.expand(len(tokens), -1, -1)
        starts = self.proj(text)
        keys = torch.cat([tokens.detach(), self.ctx.expand(len(tokens), -1, -1)], 1)
        scores = self.q(starts) @ self.k(keys).transpose(1, 2) * _ATTENTION_WIDTH**-0.5
        attention = scores.softmax(-1)
        mixed = self.v(attention @ keys)
        return self.ln_out(mixed + starts), self.aux(self.ln_cls(mixed)), attention
