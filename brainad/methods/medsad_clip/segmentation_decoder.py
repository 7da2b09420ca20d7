"""Fused patch tokens → two logits per point of a grid four times as fine."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Few pixels are lesion: start with a small share of them called so.
_FIRST_ABNORMAL_BIAS = -2.0


class SegmentationDecoder(nn.Module):
    """Convolutions with two doublings of the grid; group norm, so that single images work.

    Args:
        inputs: channels of the fused tokens.
        widths: channels of the three hidden layers.
        groups: of the group norms; divides all widths.
    """

    def __init__(self, inputs: int, widths: tuple[int, int, int], groups: int) -> None:
        super().__init__()
        first, second, third = widths
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, first, 1), nn.GroupNorm(groups, first), nn.GELU(),
            nn.Conv2d(first, second, 3, padding=1), nn.GroupNorm(groups, second), nn.GELU(),
            _Doubling(),
            nn.Conv2d(second, third, 3, padding=1), nn.GroupNorm(groups, third), nn.GELU(),
            _Doubling(),
            nn.Conv2d(third, 2, 1),
        )  # fmt: skip
        last = self.layers[-1]
        assert isinstance(last, nn.Conv2d), "the last layer is a convolution"
        assert last.bias is not None, "convolutions have a bias"
        with torch.no_grad():
            last.bias.copy_(torch.tensor([0.0, _FIRST_ABNORMAL_BIAS]))

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Decode.

        Args:
            tokens: (images, rows · columns, inputs), row by row.
            grid: rows and columns.

        Returns:
            (images, 2, 4 · rows, 4 · columns) logits of normal and abnormal.
        """
        logits: Tensor = self.layers(tokens.transpose(1, 2).unflatten(2, grid))
        return logits


class _Doubling(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return upsample(features, (2 * features.shape[2], 2 * features.shape[3]))


def upsample(features: Tensor, size: tuple[int, int], aligned_corners: bool = False) -> Tensor:
    """Interpolate (images, channels, rows, columns) bilinearly to a size.

    Patches are areas, not points, so corners are not aligned unless a comparison asks for it.
    """
    return functional.interpolate(
        features, size=size, mode="bilinear", align_corners=aligned_corners
    )
