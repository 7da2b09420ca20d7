"""Where each token of the abnormal prompt looks in the image."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TokenPatchAttention(nn.Module):
    """The weights of a multi-head attention from text tokens to image patches.

    Only weights are computed: values and an output projection could not reach the result.

    Args:
        width: of both kinds of tokens.
        heads: divide the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_query = nn.Linear(width, width)
        self.to_key = nn.Linear(width, width)

    def forward(self, text: Tensor, patches: Tensor) -> Tensor:
        """Return attention averaged over the heads.

        Args:
            text: (rows, width), the abnormal prompt.
            patches: (images, patches, width).

        Returns:
            (images, rows, patches); each row sums to 1 over the patches.
        """
        return self.per_head(text, patches).mean(1)

    def per_head(self, text: Tensor, patches: Tensor) -> Tensor:
        """Return (images, heads, rows, patches): softmax over patches of Q Kᵀ / √d."""
        query = self.to_query(text).unflatten(-1, (self.heads, -1)).transpose(0, 1)
        key = self.to_key(patches).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        logits = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        return torch.softmax(logits, dim=-1)


def fuse(patches: Tensor, attention: Tensor, rescale: bool) -> Tensor:
    """Put what the prompt's tokens see beside the patches.

    Args:
        patches: (images, patches, width).
        attention: (images, rows, patches).
        rescale: multiply attention by the number of patches, so that its mean is 1.

    Returns:
        (images, patches, width + rows).
    """
    channels = attention.transpose(1, 2)
    if rescale:
        channels = channels * patches.shape[1]
    return torch.cat([patches, channels], dim=-1)
