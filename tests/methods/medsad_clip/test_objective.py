from __future__ import annotations

import pytest
import torch

from brainad.methods.medsad_clip.losses import (
    classification_loss,
    dice_loss,
    focal_loss,
    margin_loss,
)
from brainad.methods.medsad_clip.map_maker import probabilities
from brainad.methods.medsad_clip.network import Output
from brainad.methods.medsad_clip.objective import BatchTruth, LossWeights, Objective


@pytest.fixture
def output() -> Output:
    torch.manual_seed(0)
    cosines = torch.rand(3, 2)
    return Output(torch.randn(3, 2, 4, 6), cosines, 10 * cosines)


@pytest.fixture
def truth() -> BatchTruth:
    masks = torch.zeros(3, 8, 12, dtype=torch.bool)
    masks[0, 2:5, 3:6] = masks[1, 0, 0] = True
    return BatchTruth(masks, torch.tensor([True, True, False]), torch.tensor([True, False, True]))


def test_the_loss_is_the_weighted_sum(output: Output, truth: BatchTruth) -> None:
    weights = LossWeights(classification=1.0, dice=2.0, focal=3.0, margin=4.0)
    loss, values = Objective(weights, margin=0.4, gamma=2.0)(output, truth)
    maps = probabilities(output.pixel_logits, (8, 12))
    # The second slice has too small a lesion to teach a slice label.
    taught = truth.labelled
    expected = (
        classification_loss(output.class_logits, truth.abnormal)[taught].mean()
        + 2 * dice_loss(maps, truth.masks).mean()
        + 3 * focal_loss(maps, truth.masks, 2.0).mean()
        + 4 * margin_loss(output.cosines, truth.abnormal, 0.4)[taught].mean()
    )
    assert torch.allclose(loss, expected)
    assert values["loss"] == pytest.approx(expected.item())
    assert set(values) == {"loss", "classification", "dice", "focal", "margin", "active_hinges"}


def test_a_batch_without_slice_labels_still_has_a_loss(output: Output, truth: BatchTruth) -> None:
    unlabelled = BatchTruth(truth.masks, truth.abnormal, torch.zeros(3, dtype=torch.bool))
    _, values = Objective(LossWeights(), margin=0.4, gamma=2.0)(output, unlabelled)
    assert values["classification"] == values["margin"] == values["active_hinges"] == 0
