"""Mask decoder: points meet pixels (specification 4.6)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_DROPOUT = 0.1


class MaskDecoder(nn.Module):
    """Attention of the points to the image, their agreement with every pixel, and upsampling.

    Args:
        width: d.
        side: of the image embedding, in cells.
        points: number of candidate points.
        hidden: channels after the two upsampling steps.
        heads: of the attention.
        dropout: of the attention's output.
    """

    def __init__(
        self,
        width: int,
        side: int,
        points: int,
        hidden: Sequence[int],
        heads: int,
        dropout: float = _DROPOUT,
    ) -> None:
        super().__init__()
        first, second = hidden
        self.eps = nn.Parameter(torch.randn(1, width, side, side))
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln1 = nn.LayerNorm(width)
        self.ln2 = nn.LayerNorm(points)
        self.tconv1 = nn.ConvTranspose2d(points, first, 4, stride=2, padding=1)
        self.tconv2 = nn.ConvTranspose2d(first, second, 4, stride=2, padding=1)
        self.conv_out = nn.Conv2d(second, 1, 1)

    def forward(self, features: Tensor, embeddings: Tensor) -> Tensor:
        """Draw the mask.

        Args:
            features: (n, width, side, side), the image embedding.
            embeddings: (n, points, width), ξ_ESPE.

        Returns:
            (n, 4 * side, 4 * side) logits.
        """
        pixels = features.flatten(2).transpose(1, 2)
        correlation = self.agreement(pixels, self.attend(features, embeddings))
        grid = self.ln2(correlation).transpose(1, 2).unflatten(2, features.shape[2:])
        hidden = F.relu(self.tconv2(F.relu(self.tconv1(grid))))
        logits: Tensor = self.conv_out(hidden)
        return logits[:, 0]

    def attend(self, features: Tensor, embeddings: Tensor) -> Tensor:
        """Return the points after they looked at the image: (n, points, width)."""
        keys = features.flatten(2).transpose(1, 2)
        values = (features + self.eps).flatten(2).transpose(1, 2)
        attended, _ = self.attn(embeddings, keys, values, need_weights=False)
        result: Tensor = self.ln1(self.dropout(attended) + embeddings)
        return result

    def agreement(self, pixels: Tensor, points: Tensor) -> Tensor:
        """Return the inner products of (n, cells, width) and (n, points, width)."""
        return pixels @ points.transpose(1, 2)
