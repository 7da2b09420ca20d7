"""Refiner: from early features to one token per cell (specification 4.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class Refiner(nn.Module):
    """Three convolutions beside a linear path, pooled to half the size.

    Args:
        inputs: channels of the encoder's first block.
        hidden: channels after the first and the second convolution.
        outputs: width of a token.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int) -> None:
        super().__init__()
        first, second = hidden
        self.conv1 = nn.Conv2d(inputs, first, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(first)
        self.tconv2 = nn.ConvTranspose2d(first, second, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(second)
        self.tconv3 = nn.ConvTranspose2d(second, outputs, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, inputs, size, size) to (n, outputs, size / 2, size / 2)."""
        hidden = F.relu(self.bn1(self.conv1(features)))
        hidden = F.relu(self.bn2(self.tconv2(hidden)))
        hidden = F.relu(self.bn3(self.tconv3(hidden)))
        return F.avg_pool2d(hidden + self.skip(features), 4, stride=2, padding=1)
