"""Bottleneck adapters at several depths of a frozen vision tower, for two branches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

AdapterDesign = Literal["normalised", "plain"]
Mix = tuple[float, float, float]
# Frozen tokens of the next tap, given its number and the tokens that leave this one.
Advance = Callable[[int, Tensor], Tensor]

_SLOPE = 0.01
NO_WRITE_BACK: Mix = (1.0, 0.0, 0.0)


class Adapter(nn.Module):
    """Two projections without bias: into the shared space, and back to the tower's width.

    ``mid = LeakyReLU(norm(W1 x))`` and ``out = LeakyReLU(norm(W2 mid))``.

    Args:
        width: of the tower's tokens.
        shared_width: of the space that text and image share.
        design: ``normalised`` has a layer norm after each projection (paper), ``plain`` has none
            (the adapters it inherits).
        writes_back: whether `out` exists.
    """

    def __init__(
        self, width: int, shared_width: int, design: AdapterDesign, writes_back: bool
    ) -> None:
        super().__init__()
        self.inwards = _projection(width, shared_width, design)
        self.outwards = _projection(shared_width, width, design) if writes_back else None

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map (images, tokens, width) to `mid` (…, shared width) and `out` (…, width) or None."""
        middle: Tensor = functional.leaky_relu(self.inwards(tokens), _SLOPE)
        if self.outwards is None:
            return middle, None
        return middle, functional.leaky_relu(self.outwards(middle), _SLOPE)


def _projection(inputs: int, outputs: int, design: AdapterDesign) -> nn.Sequential:
    linear = nn.Linear(inputs, outputs, bias=False)
    return nn.Sequential(linear, *([nn.LayerNorm(outputs)] if design == "normalised" else []))


@dataclass(frozen=True)
class BranchTokens:
    """What the two branches read, tap by tap.

    Args:
        segmentation: per tap (images, tokens, shared width).
        detection: the same for the other branch.
    """

    segmentation: Sequence[Tensor]
    detection: Sequence[Tensor]

    def means(self) -> tuple[Tensor, Tensor]:
        """Average over the taps: segmentation and detection tokens."""
        return torch.stack(list(self.segmentation)).mean(0), torch.stack(list(self.detection)).mean(
            0
        )


class MultiLevelAdapters(nn.Module):
    """A pair of adapters per tap; both write into the stream that the next blocks read.

    Args:
        taps: number of depths.
        width: of the tower's tokens.
        shared_width: of the space that text and image share.
        design: of every adapter.
        mix: shares of the stream, of the segmentation and of the detection adapter after a tap;
            (1, 0, 0) writes nothing back, so that the taps are those of the frozen tower.
    """

    def __init__(
        self, taps: int, width: int, shared_width: int, design: AdapterDesign, mix: Mix
    ) -> None:
        super().__init__()
        self.mix = mix
        # After the last tap nothing reads the stream: its second projections would never learn.
        writing = [mix != NO_WRITE_BACK and tap + 1 < taps for tap in range(taps)]
        self.segmentation = nn.ModuleList(
            Adapter(width, shared_width, design, writes) for writes in writing
        )
        self.detection = nn.ModuleList(
            Adapter(width, shared_width, design, writes) for writes in writing
        )

    def forward(self, tokens: Tensor, advance: Advance) -> BranchTokens:
        """Adapt tokens from the first tap to the last.

        Args:
            tokens: (images, tokens, width) at the first tap, class token first.
            advance: runs the frozen blocks between two taps, or looks their result up.
        """
        segmentation, detection = [], []
        own, of_segmentation, of_detection = self.mix
        for tap, (first, second) in enumerate(zip(self.segmentation, self.detection, strict=True)):
            if tap:
                tokens = advance(tap, tokens)
            middle, back = first(tokens)
            other_middle, other_back = second(tokens)
            segmentation.append(middle)
            detection.append(other_middle)
            if back is not None and other_back is not None:
                tokens = own * tokens + of_segmentation * back + of_detection * other_back
        return BranchTokens(segmentation, detection)
