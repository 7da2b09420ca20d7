"""How a set of channels becomes encoder images, and their features the features of the set.

A source is what is encoded once and kept: one channel, or one set of channels shown together.
The features of a set are the mean over its sources; a channel that is absent takes no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from brainad.encoders.dinov2 import IMAGENET_MEAN
from brainad.errors import UsageError
from brainad.methods.anyad.subsets import Subset, all_subsets

LayoutName = Literal["per_channel", "rgb_slots"]
SLOTS = 3


class PerChannel:
    """Every channel is encoded alone, as a grey image; works for any number of channels."""

    def sources(self, channels: Sequence[str]) -> tuple[Subset, ...]:
        """Return what is encoded for a case with these channels."""
        return tuple((channel,) for channel in channels)

    def members(self, subset: Subset) -> tuple[Subset, ...]:
        """Return the sources whose mean describes a set."""
        return self.sources(subset)

    def images(self, slices: Mapping[str, Tensor], source: Subset) -> Tensor:
        """Make encoder images.

        Args:
            slices: channel to (n, h, w) in [0, 1].
            source: what to show.

        Returns:
            (n, h, w) grey.
        """
        (channel,) = source
        return slices[channel]


class RgbSlots:
    """Up to three channels share the colour planes of one image (the paper's layout).

    Args:
        channels: one per plane, in order.

    Raises:
        UsageError: more channels than planes.
    """

    def __init__(self, channels: Sequence[str]) -> None:
        if len(channels) > SLOTS:
            raise UsageError(
                f"{len(channels)} channels do not fit into {SLOTS} colour planes",
                "plan, anyad.layout",
                "choose the layout per_channel",
            )
        self._channels = tuple(channels)

    def sources(self, channels: Sequence[str]) -> tuple[Subset, ...]:
        """Return what is encoded for a case with these channels: every set of them."""
        return all_subsets([channel for channel in self._channels if channel in channels])

    def members(self, subset: Subset) -> tuple[Subset, ...]:
        """Return the sources whose mean describes a set: the set itself."""
        return (tuple(channel for channel in self._channels if channel in subset),)

    def images(self, slices: Mapping[str, Tensor], source: Subset) -> Tensor:
        """Make encoder images; an absent channel is 0 after the encoder's normalisation.

        Args:
            slices: channel to (n, h, w) in [0, 1].
            source: channels to show.

        Returns:
            (n, 3, h, w) colour.
        """
        like = slices[source[0]]
        planes = [torch.full_like(like, mean) for mean in IMAGENET_MEAN]
        for number, channel in enumerate(self._channels):
            if channel in source:
                planes[number] = slices[channel]
        return torch.stack(planes, dim=1)


Layout = PerChannel | RgbSlots


def make_layout(name: LayoutName, channels: Sequence[str]) -> Layout:
    """Make the planned layout for the planned channels."""
    return PerChannel() if name == "per_channel" else RgbSlots(channels)
