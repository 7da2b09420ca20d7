from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from brainad.case import TrainingCase
from brainad.methods.rasalore.drawing_volumes import (
    averaged_through_plane,
    draw_case,
    slice_scores,
)
from brainad.methods.rasalore.network import Drawing, NetworkSize, Rasalore


class Bright(Rasalore):
    """A network that draws what is brighter than 150, and counts its batches."""

    def __init__(self) -> None:
        size = NetworkSize(image=8, points=4, channels=(2, 2, 2, 4), refiner=(2, 2),
                           activation=(2, 2), upsampling=(2, 2))  # fmt: skip
        super().__init__(size, ("T2", "FLAIR"), 0, integer_frequencies=False)
        self.batches: list[tuple[str, int]] = []

    def forward(self, images: Tensor, name: str) -> Drawing:
        self.batches.append((name, len(images)))
        large = torch.nn.functional.interpolate(images, scale_factor=2)[:, 0]
        return Drawing((large - 150) / 5, torch.zeros(1), torch.zeros(1))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_return_to_their_places(cohort: list[TrainingCase], axis: int) -> None:
    case, network = cohort[0].case, Bright()
    image = case.images["T2"]
    drawn = draw_case(network, case, ("T2",), axis, 64, 50, batch=5)
    assert drawn.dtype == np.float32
    assert {count for _, count in network.batches} <= {1, 2, 3, 4, 5}
    found, lesion = drawn > 0.5, image > 0.9
    assert 2 * (found & lesion).sum() / (found.sum() + lesion.sum()) > 0.85
    assert (drawn[~case.brain] == 0).all()


def test_channels_are_fused(cohort: list[TrainingCase]) -> None:
    case = cohort[0].case
    dark = replace(case, images={**case.images, "FLAIR": 0.5 * case.images["T2"]})
    network = Bright()
    both = draw_case(network, dark, ("T2", "FLAIR"), 2, 64, 50, batch=64)
    assert [name for name, _ in network.batches] == ["T2", "FLAIR"]
    alone = draw_case(network, dark, ("T2",), 2, 64, 50, batch=64)
    lesion = case.images["T2"] > 0.9
    assert both[lesion].mean() < alone[lesion].mean()


def test_a_channel_with_dark_lesions_is_drawn_from_its_negative(
    cohort: list[TrainingCase],
) -> None:
    case, network = cohort[0].case, Bright()
    lesion = case.images["T2"] > 0.9
    dark = replace(case, images={"FLAIR": np.where(lesion, 0.2, 0.8 * case.brain)})
    assert draw_case(network, dark, ("FLAIR",), 2, 64, 50, batch=64)[lesion].mean() < 0.1
    network.negative[1] = True
    assert draw_case(network, dark, ("FLAIR",), 2, 64, 50, batch=64)[lesion].mean() > 0.8


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_what_is_drawn_in_a_single_slice_fades(axis: int) -> None:
    drawn = np.zeros((30, 6, 6), dtype=np.float32)
    drawn[5:] = 0.01
    drawn[[9, *range(15, 22)], 2:4, 2:4] = 1
    brain = np.ones(drawn.shape, dtype=np.bool_)
    brain[:, 0] = False
    drawn, brain = np.moveaxis(drawn, 0, axis), np.moveaxis(brain, 0, axis)
    averaged = averaged_through_plane(drawn, brain, axis, 2.0)
    assert averaged.dtype == np.float32
    assert (averaged[~brain] == 0).all()
    slices = np.moveaxis(averaged, axis, 0)
    assert slices[9, 2, 2] < 0.25 and slices[18, 2, 2] > 0.9
    assert (slices[:5] == 0).all(), "slices that are not looked at"
    np.testing.assert_allclose(slices[5, 5, 5], 0.01, rtol=1e-3, err_msg="the outermost slice")


def test_nothing_drawn_stays_nothing() -> None:
    drawn = np.zeros((4, 4, 4), dtype=np.float32)
    assert (averaged_through_plane(drawn, drawn == 0, 2, 2.0) == 0).all()


def test_a_slice_is_as_anomalous_as_its_most_anomalous_200_mm2() -> None:
    drawn = np.zeros((30, 30, 3), dtype=np.float32)
    drawn[:10, :10, 1] = 1
    drawn[:20, :20, 2] = 0.8
    for spacing, expected in (((1.0, 1.0, 5.0), (0, 0.5, 0.8)), ((2.0, 2.0, 1.0), (0, 1, 0.8))):
        np.testing.assert_allclose(slice_scores(drawn, 2, spacing), expected, rtol=1e-4)
