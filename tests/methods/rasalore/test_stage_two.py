from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from brainad.methods.rasalore.crops import HALF, Crops
from brainad.methods.rasalore.losses import LossSettings, Targets
from brainad.methods.rasalore.network import NetworkSize, Rasalore
from brainad.methods.rasalore.overlap import soft_dice
from brainad.methods.rasalore.points import active_points
from brainad.methods.rasalore.stage_two import (
    BRIDGE_STAGE,
    CHANNEL_STAGE,
    Lesson,
    NetworkTrainer,
    TrainingSettings,
    lesson_losses,
)
from brainad.training.session import MemorySession

SIZE = NetworkSize(
    image=32,
    points=8,
    channels=(4, 8, 8, 16),
    refiner=(8, 8),
    activation=(8, 8),
    upsampling=(8, 8),
    dropout=0.0,
)
SETTINGS = TrainingSettings(
    epochs=400, channel_epochs=2, batch=4, optimiser="adam", rate=1e-3, clip=5.0, augment=False
)


@pytest.fixture
def crops() -> Crops:
    """Make 4 slices with a bright ellipse, and 2 without."""
    rows, columns = np.mgrid[:64, :64]
    rng = np.random.default_rng(0)
    images = rng.integers(30, 60, (6, 2, 32, 32)).astype(np.uint8)
    large = np.zeros((6, 64, 64), dtype=np.uint8)
    for number, (row, column) in enumerate([(20, 24), (40, 20), (30, 44), (44, 42)]):
        large[number][((rows - row) / 10) ** 2 + ((columns - column) / 14) ** 2 < 1] = 255
        images[number][:, large[number, ::2, ::2] > 0] = 200
    present = np.ones((6, 2), dtype=bool)
    present[1, 1] = present[3, 1] = False
    anomalous = np.arange(6) < 4
    return Crops(images, present, large[:, ::2, ::2], large, np.zeros_like(large), anomalous)


def network_of(*channels: str) -> Rasalore:
    torch.manual_seed(0)
    return Rasalore(SIZE, channels, seed=1, integer_frequencies=False)


def trainer_of(network: Rasalore, settings: TrainingSettings = SETTINGS) -> NetworkTrainer:
    return NetworkTrainer(network, tuple(network.attention), SIZE, LossSettings(), settings, 2)


def test_four_slices_can_be_learnt_by_heart(crops: Crops) -> None:
    network = network_of("T2")
    trainer_of(network).train_bridge(crops, MemorySession())
    with torch.no_grad():
        drawing = network(torch.from_numpy(crops.images[:4, :1].astype(np.float32)), "T2")
    weak = torch.from_numpy(crops.large[:4] > HALF).float()
    assert soft_dice((drawing.probabilities > 0.5).float(), weak).mean() >= 0.7
    points = active_points(torch.from_numpy(crops.small[:4]), SIZE.points)
    assert soft_dice((drawing.activations > 0.5).float(), points).mean() >= 0.4


def test_healthy_slices_join_every_batch(crops: Crops) -> None:
    for share, expected in ((0.25, {3: 3, 1: 1}), (0.0, {4: 4, 0: 0})):
        trainer = trainer_of(network_of("T2"), replace(SETTINGS, healthy_share=share))
        (batch,) = trainer._batches(crops, np.random.default_rng(0))
        sick = int(crops.anomalous[batch].sum())
        assert expected[sick] == sick
        assert len(batch) == 4


def test_masks_move_with_their_images(crops: Crops) -> None:
    settings = replace(SETTINGS, augment=True)
    lesson = trainer_of(network_of("T2"), settings)._lesson(
        crops, np.array([0, 4]), 1, np.random.default_rng(1)
    )
    bright = torch.nn.functional.interpolate(lesson.images, scale_factor=2)[0, 0] > 130
    assert (bright != lesson.targets.weak[0].bool()).float().mean() < 0.05
    assert not lesson.targets.weak[1].any()
    assert lesson.targets.anomalous.tolist() == [True, False]


def test_channels_learn_from_the_bridge(crops: Crops) -> None:
    network, session = network_of("T2", "FLAIR"), MemorySession()
    trainer = trainer_of(network, replace(SETTINGS, epochs=1))
    trainer.train_bridge(crops, session)
    trainer.train_channels(crops, session)
    assert [stage for stage, _, _ in session.reports] == [BRIDGE_STAGE] + [CHANNEL_STAGE] * 2
    assert "alignment" not in session.reports[0][2]
    assert "alignment" in session.reports[1][2]
    assert not network.training


def negative(crops: Crops, channel: int) -> None:
    images = crops.images[:, channel]
    images[:] = 255 - images


@pytest.mark.parametrize(
    ("dark", "expected"), [((), (False, False)), ((1,), (False, True)), ((0, 1), (False, False))]
)
def test_a_channel_is_shown_in_the_negative_where_lesions_look_unlike_the_bridges(
    crops: Crops, dark: tuple[int, ...], expected: tuple[bool, ...]
) -> None:
    for channel in dark:
        negative(crops, channel)
    network = network_of("T2", "T1")
    trainer_of(network).choose_negatives(crops)
    assert tuple(network.negative.tolist()) == expected


def test_what_the_bridge_learnt_is_of_use_where_lesions_are_dark(crops: Crops) -> None:
    network = network_of("T2", "T1")
    negative(crops, 1)
    trainer = trainer_of(network)
    trainer.train_bridge(crops, MemorySession())
    network.copy_attention("T2")
    agreements = []
    for choose in (lambda _: None, trainer.choose_negatives):
        choose(crops)
        trainer.measure_agreement(crops)
        agreements.append(network.agreement[1].item())
    assert agreements[0] < 0.3
    assert agreements[1] >= 0.7


def test_a_channel_that_shows_nothing_agrees_with_nothing(crops: Crops) -> None:
    network = network_of("T2", "FLAIR")
    trainer = trainer_of(network)
    trainer.train_bridge(crops, MemorySession())
    network.copy_attention("T2")
    crops.images[:, 1] = 40
    trainer.measure_agreement(crops)
    bridge, other = network.agreement.tolist()
    assert bridge >= 0.7
    assert other < 0.3


def lesson_with(present: list[list[bool]]) -> Lesson:
    generator = torch.Generator().manual_seed(0)
    count = len(present)
    weak = torch.zeros(count, 64, 64)
    weak[:, 20:40, 20:40] = 1
    images = 255 * torch.rand(count, len(present[0]), 32, 32, generator=generator)
    points = active_points(weak[:, ::2, ::2], SIZE.points)
    healthy = torch.ones(count, dtype=torch.bool)
    return Lesson(
        images, torch.tensor(present), Targets(weak, points, torch.zeros_like(weak), healthy)
    )


def test_losses_are_means_over_the_channels_of_a_slice() -> None:
    network = network_of("T2", "FLAIR").eval()
    lesson = lesson_with([[True, True], [True, False]])
    settings = LossSettings()
    names = ("T2", "FLAIR")
    together = lesson_losses(network, names, lesson, settings)
    expected = torch.zeros(())
    for row, channels in ((0, (0, 1)), (1, (0,))):
        alone = [
            lesson_losses(
                network,
                (names[c],),
                Lesson(
                    lesson.images[row : row + 1, c : c + 1],
                    lesson.present[row : row + 1, c : c + 1],
                    Targets(
                        lesson.targets.weak[row : row + 1],
                        lesson.targets.points[row : row + 1],
                        lesson.targets.segmenter[row : row + 1],
                        lesson.targets.anomalous[row : row + 1],
                    ),
                ),
                settings,
            )["decoder"]
            for c in channels
        ]
        expected = expected + torch.stack(alone).mean() / 2
    torch.testing.assert_close(together["decoder"], expected)
    assert together["alignment"] > 0


def test_with_the_bridge_alone_nothing_is_aligned() -> None:
    network = network_of("T2", "FLAIR").eval()
    lesson = lesson_with([[True, False]])
    losses = lesson_losses(network, ("T2", "FLAIR"), lesson, LossSettings())
    assert losses["alignment"] == 0
    assert losses["decoder"] > 0
