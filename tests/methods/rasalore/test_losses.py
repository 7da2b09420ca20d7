from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainad.methods.rasalore.losses import (
    LossSettings,
    Targets,
    alignment_loss,
    decoder_loss,
    healthy_decoder_loss,
    point_loss,
    stage_two_loss,
    structural_loss,
)
from brainad.methods.rasalore.network import Drawing
from brainad.methods.rasalore.overlap import Overlap, soft_dice

Arrays = dict[str, NDArray[Any]]
Load = Callable[[str], Arrays]

FRAME = 256


def settings_of(case: Arrays) -> LossSettings:
    """The golden widths are pixels of the stored masks, ours of a mask of 256."""
    zoom = FRAME / case["prob"].shape[-1]
    return LossSettings(
        missed_weight=float(case["tversky_fn_weight"]),
        false_positive=float(case["alpha"]),
        background=float(case["beta"]),
        sigma=float(case["sigma_fg"]) * zoom,
        background_sigma=float(case["sigma_bg"]) * zoom,
    )


@pytest.mark.parametrize("overlap", ["tversky", "dice"])
def test_decoder_loss_is_the_golden_one(golden: Load, overlap: Overlap) -> None:
    case = golden("decoder_loss")
    settings = replace(settings_of(case), overlap=overlap)
    weak, segmenter = (torch.from_numpy(case[k]).float() for k in ("mask_ddpt", "mask_sam"))
    probabilities = torch.from_numpy(case["prob"]).requires_grad_()
    losses = decoder_loss(probabilities, weak, segmenter, settings)
    expected, gradient = case["total_code"], case["grad_prob_code"]
    if overlap == "dice":
        np.testing.assert_allclose(losses.detach(), case["total_paper"], rtol=1e-4)
        np.testing.assert_allclose(losses.mean().item(), case["batch_total_paper"], rtol=1e-4)
        # The released twin weighs false positives with 0.2 where there is no second mask.
        lost = (settings.false_positive - 0.2) * case["fp"] * case["sam_term_skipped"]
        np.testing.assert_allclose(
            losses.detach().numpy() - lost, case["total_dice_code"], rtol=1e-4
        )
        kept = ~case["sam_term_skipped"]
        gradient = case["grad_prob_dice_code"]
    else:
        kept = np.ones(len(losses), dtype=bool)
        np.testing.assert_allclose(losses.detach(), expected, rtol=1e-4)
        np.testing.assert_allclose(losses.mean().item(), case["batch_total_code"], rtol=1e-4)
    losses.sum().backward()
    assert probabilities.grad is not None
    np.testing.assert_allclose(probabilities.grad[kept], gradient[kept], rtol=1e-3, atol=1e-6)


def test_agreement_with_the_segmenter_is_the_golden_one(golden: Load) -> None:
    case = golden("decoder_loss")
    weak, segmenter = (torch.from_numpy(case[k]).float() for k in ("mask_ddpt", "mask_sam"))
    np.testing.assert_allclose(soft_dice(segmenter, weak), case["gamma"], rtol=1e-4, atol=1e-9)


def test_point_losses_are_the_golden_ones(golden: Load) -> None:
    case = golden("point_losses")
    active = torch.from_numpy(case["point_mask"]).float()
    activations, embeddings = (
        torch.from_numpy(case[name]).requires_grad_() for name in ("activations", "espe")
    )
    points = point_loss(activations, active).mean()
    structural = structural_loss(embeddings, active)
    np.testing.assert_allclose(points.item(), case["loss_pa"], rtol=1e-4)
    np.testing.assert_allclose(structural.detach(), case["loss_struct_per_sample"], rtol=1e-4)
    np.testing.assert_allclose(structural.mean().item(), case["loss_struct"], rtol=1e-4)
    (points + structural.mean()).backward()
    for tensor, name in ((activations, "grad_activations"), (embeddings, "grad_espe")):
        assert tensor.grad is not None
        np.testing.assert_allclose(tensor.grad, case[name], rtol=1e-3, atol=1e-6)
    drawn = (activations > 0.5).float()
    np.testing.assert_allclose(soft_dice(drawn, active).mean(), case["mean_hard_dice"], rtol=1e-4)


def masks(fill: float) -> Tensor:
    return torch.full((1, 32, 32), fill)


def test_nothing_becomes_undefined() -> None:
    ellipse = masks(0.0)
    ellipse[:, 8:20, 10:24] = 1
    for saturated in (-100.0, 0.0, 100.0):
        for weak, segmenter in (
            (masks(0.0), masks(0.0)),
            (ellipse, masks(0.0)),
            (masks(0.0), ellipse),
            (ellipse, ellipse),
            (masks(1.0), masks(1.0)),
        ):
            logits = masks(saturated).requires_grad_()
            embeddings = torch.zeros(1, 4, 3, requires_grad=True)
            drawing = Drawing(logits, torch.full((1, 4), 0.5), embeddings)
            points = torch.full((1, 4), float(weak.any()))
            targets = Targets(weak, points, segmenter, torch.tensor([True]))
            losses = stage_two_loss(drawing, targets, LossSettings())
            total = torch.stack(list(losses.values())).sum()
            assert total.isfinite()
            total.backward()
            assert logits.grad is not None
            assert logits.grad.isfinite().all()


def test_healthy_slices_ask_for_silence() -> None:
    settings = LossSettings()
    drawn, quiet = masks(0.9), masks(0.1)
    assert healthy_decoder_loss(drawn, settings) > healthy_decoder_loss(quiet, settings)
    drawing = Drawing(torch.logit(drawn), torch.full((1, 4), 0.7), torch.zeros(1, 4, 3))
    empty = Targets(masks(0.0), torch.zeros(1, 4), masks(0.0), torch.tensor([False]))
    losses = stage_two_loss(drawing, empty, settings)
    assert losses["points"].item() == pytest.approx(0.7)
    assert losses["structural"].item() == pytest.approx(1.0)
    assert losses["decoder"].item() == pytest.approx(healthy_decoder_loss(drawn, settings).item())
    without = stage_two_loss(drawing, empty, replace(settings, structural=0.0))
    assert without["structural"].item() == 0


def test_the_bridge_is_not_moved() -> None:
    channel = torch.ones(2, 4, 3, requires_grad=True)
    bridge = torch.zeros(2, 4, 3, requires_grad=True)
    loss = alignment_loss(channel, bridge, "mean")
    assert loss.tolist() == [1.0, 1.0]
    assert alignment_loss(channel, bridge, "sum").tolist() == [12.0, 12.0]
    loss.sum().backward()
    assert channel.grad is not None
    assert bridge.grad is None
