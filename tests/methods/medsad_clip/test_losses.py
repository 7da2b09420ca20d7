from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from brainad.methods.medsad_clip.classification import similarities
from brainad.methods.medsad_clip.losses import (
    classification_loss,
    dice_loss,
    focal_loss,
    margin_loss,
)

Golden = Callable[[str], Any]
_GAMMA = 2.0


def close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected.to(found.dtype), rtol=1e-5, atol=1e-6)


def test_pixel_losses_match_the_golden_file(golden: Golden) -> None:
    known = golden("losses")
    probabilities, mask = known["probs"], known["mask"][:, 0]
    dice, focal = dice_loss(probabilities, mask), focal_loss(probabilities, mask, _GAMMA)
    assert close(dice, known["dice_per_image"])
    assert close(dice.mean(), known["dice"])
    assert close(focal, known["focal_per_image"])
    assert close(focal.mean(), known["focal"])
    weighted = focal_loss(probabilities, mask, _GAMMA, (0.25, 0.75)).mean()
    assert close(weighted, known["focal_alpha_025_075"])


def test_gradients_of_the_pixel_losses_match_the_golden_file(golden: Golden) -> None:
    known = golden("losses")
    mask = known["mask"][:, 0]
    logits = known["logits"].requires_grad_()
    (gradient,) = torch.autograd.grad(dice_loss(torch.softmax(logits, 1), mask).mean(), logits)
    assert close(gradient, known["grad_logits_dice"])
    loss = focal_loss(torch.softmax(logits, 1), mask, _GAMMA).mean()
    (gradient,) = torch.autograd.grad(loss, logits)
    assert close(gradient, known["grad_logits_focal"])


def test_slice_losses_and_gradients_match_the_golden_file(golden: Golden) -> None:
    known = golden("cls_mc")
    prototypes = torch.stack([known["t_normal"], known["t_abnormal"]])
    abnormal, margin = known["label"] == 1, float(known["margin"])
    features = known["f_cls"].requires_grad_()
    cosines = similarities(features, prototypes)
    entropy = classification_loss(float(known["tau"]) * cosines, abnormal).mean()
    assert close(entropy, known["bce"])
    hinge = margin_loss(cosines, abnormal, margin)
    assert close(hinge, known["hinge"])
    assert close(hinge.mean(), known["mc"])
    (gradient,) = torch.autograd.grad(entropy, features, retain_graph=True)
    assert close(gradient, known["grad_f_bce"])
    (gradient,) = torch.autograd.grad(hinge.mean(), features)
    assert close(gradient, known["grad_f_mc"])


def test_hand_made_margins_match_the_golden_file(golden: Golden) -> None:
    known = golden("cls_mc")
    cosines = torch.stack([known["given_s_n"], known["given_s_a"]], 1)
    abnormal, margin = known["given_label"] == 1, float(known["margin"])
    hinge = margin_loss(cosines, abnormal, margin)
    assert torch.allclose(hinge, known["given_hinge"], atol=1e-6)
    assert torch.allclose(hinge.mean(), known["given_mc"], atol=1e-6)
    assert torch.allclose(margin_loss(cosines.flip(1), ~abnormal, margin), hinge)
