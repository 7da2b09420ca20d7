"""Image encoder of stage 2: four convolution blocks, one halving (specification 4.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

_EPSILON = 1e-6


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of every pixel, with biased variance."""

    def forward(self, features: Tensor) -> Tensor:
        """Normalise (n, channels, height, width)."""
        return super().forward(features.movedim(1, -1)).movedim(-1, 1)


class EncoderBlock(nn.Module):
    """Two convolutions with ReLU, channel norm, channel dropout.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        dropout: probability of dropping a channel.
    """

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm = ChannelNorm(outputs, eps=_EPSILON)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, inputs, height, width) to (n, outputs, height, width)."""
        hidden = F.relu(self.conv2(F.relu(self.conv1(features))))
        result: Tensor = self.dropout(self.norm(hidden))
        return result


class ImageEncoder(nn.Module):
    """Four blocks; the third is pooled before the fourth.

    Args:
        channels: output channels of the four blocks.
        dropout: of each block.
    """

    def __init__(self, channels: Sequence[int], dropout: float) -> None:
        super().__init__()
        first, second, third, fourth = channels
        self.e1 = EncoderBlock(1, first, dropout)
        self.e2 = EncoderBlock(first, second, dropout)
        self.e3 = EncoderBlock(second, third, dropout)
        self.e4 = EncoderBlock(third, fourth, dropout)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode slices.

        Args:
            images: (n, 1, size, size) float, 0 … 255.

        Returns:
            Features of the first block (n, channels[0], size, size), which the refiner reads,
            and the image embedding (n, channels[3], size / 2, size / 2).
        """
        first = self.e1(images)
        pooled = F.max_pool2d(self.e3(self.e2(first)), 2)
        return first, self.e4(pooled)
