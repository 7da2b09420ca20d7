from __future__ import annotations

import pytest
import torch

from brainad.encoders.dinov2 import IMAGENET_MEAN
from brainad.errors import UsageError
from brainad.methods.anyad.layout import PerChannel, RgbSlots, make_layout

CHANNELS = ("FLAIR", "T1", "T2")
SLICES = {name: torch.full((2, 14, 28), (number + 1) / 8) for number, name in enumerate(CHANNELS)}


def test_channels_alone_describe_any_set_of_them() -> None:
    layout = PerChannel()
    assert layout.sources(("T1", "T2")) == (("T1",), ("T2",))
    assert layout.members(("T1", "T2")) == (("T1",), ("T2",))
    assert layout.images(SLICES, ("T1",)) is SLICES["T1"]


def test_a_set_shares_one_image_and_what_is_absent_is_gone() -> None:
    layout = RgbSlots(CHANNELS)
    assert len(layout.sources(CHANNELS)) == 7
    assert layout.sources(("T2", "FLAIR")) == (("FLAIR",), ("T2",), ("FLAIR", "T2"))
    assert layout.members(("T2", "FLAIR")) == (("FLAIR", "T2"),)
    shown = layout.images(SLICES, ("FLAIR", "T2"))
    assert shown.shape == (2, 3, 14, 28)
    assert torch.equal(shown[:, 0], SLICES["FLAIR"])
    assert torch.equal(shown[:, 2], SLICES["T2"])
    assert torch.equal(shown[:, 1], torch.full((2, 14, 28), IMAGENET_MEAN[1]))
    # The plane of an absent channel does not depend on what that channel shows.
    changed = {**SLICES, "T1": torch.rand(2, 14, 28)}
    assert torch.equal(layout.images(changed, ("FLAIR", "T2")), shown)


def test_four_channels_do_not_fit_into_three_planes() -> None:
    four = (*CHANNELS, "T1CE")
    assert isinstance(make_layout("per_channel", four), PerChannel)
    assert isinstance(make_layout("rgb_slots", CHANNELS), RgbSlots)
    with pytest.raises(UsageError, match="4 channels do not fit") as caught:
        make_layout("rgb_slots", four)
    assert "per_channel" in caught.value.fix
