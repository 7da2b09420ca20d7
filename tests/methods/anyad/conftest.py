from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from brainad.case import Placement, PreparedCase
from brainad.methods.anyad.objective import LossWeights
from brainad.methods.anyad.plan import AnyADPlan
from brainad.volume import centred_grid

SHAPE = (28, 28, 12)


def make_plan(**changes: Any) -> AnyADPlan:
    """Settings under which everything takes a blink."""
    plan = AnyADPlan(
        seed=3,
        reasons=("a test",),
        channels=("FLAIR", "T1", "T2"),
        encoder="tiny",
        layers=(1, 2, 3, 4),
        image_size=56,
        slice_axis=2,
        slice_step=2,
        least_brain=0.05,
        minimum_slices=8,
        feature_gb=1.0,
        layout="per_channel",
        channel_dropout=True,
        alignment="none",
        prototypes=3,
        decoder_blocks=2,
        loss=LossWeights(0.2, 0.2, 3.0),
        epochs=4,
        batch_size=4,
        tokens_per_slice=0,
        learning_rate=1e-2,
        final_rate=1e-3,
        weight_decay=1e-4,
        gradient_limit=0.1,
        expected_by="place",
        place_distance=True,
        smoothing_mm=(1.0, 1.0),
        top_share=0.02,
        patient_rule="top_three_slices",
    )
    return replace(plan, **changes)


def make_case(
    name: str, seed: int, channels: tuple[str, ...] = ("FLAIR", "T1", "T2")
) -> PreparedCase:
    """A ball of tissue with smooth structure that all cases share, and a little noise."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    brain = x**2 + y**2 + z**2 < 0.9
    images = {}
    for number, channel in enumerate(channels):
        tissue = 0.5 + 0.2 * np.sin(3 * x + number) * np.cos(2 * y)
        noisy = tissue + 0.02 * rng.standard_normal(SHAPE)
        images[channel] = np.where(brain, noisy, 0).clip(0, 1).astype(np.float32)
    grid = centred_grid(SHAPE, 1.0, np.zeros(3))
    return PreparedCase(name, images, brain, Placement(grid, grid, np.eye(4)))


def with_spot(case: PreparedCase, channel: str) -> PreparedCase:
    """Add a bright spot that one channel shows."""
    image = case.images[channel].copy()
    image[8:15, 12:19, 4:8] = 1.0
    return replace(case, images={**case.images, channel: image})


@pytest.fixture(scope="session")
def healthy() -> list[PreparedCase]:
    return [make_case(f"healthy_{number}", number) for number in range(6)]
