"""One number to make small: the weighted sum of the four losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brainad.methods.medsad_clip.losses import (
    classification_loss,
    dice_loss,
    focal_loss,
    margin_loss,
)
from brainad.methods.medsad_clip.map_maker import probabilities
from brainad.methods.medsad_clip.network import Output
from brainad.plan import Table


@dataclass(frozen=True)
class LossWeights(Table):
    """How much each loss counts.

    Args:
        classification: cross-entropy of the slice label.
        dice: overlap of map and mask.
        focal: pixel-wise.
        margin: contrastive, between the two prompts.
    """

    classification: float = 1.0
    dice: float = 1.0
    focal: float = 1.0
    margin: float = 1.0


@dataclass(frozen=True, eq=False)
class BatchTruth:
    """The truth of a batch.

    Args:
        masks: (images, height, width) bool.
        abnormal: (images,) bool.
        labelled: (images,) bool, whether `abnormal` is taught.
    """

    masks: Tensor
    abnormal: Tensor
    labelled: Tensor


@dataclass(frozen=True)
class Objective:
    """The sum of the losses.

    Args:
        weights: of the losses.
        margin: of the contrastive loss, on the scale of cosines.
        gamma: of the focal loss.
    """

    weights: LossWeights
    margin: float
    gamma: float

    def __call__(self, output: Output, truth: BatchTruth) -> tuple[Tensor, dict[str, float]]:
        """Return the loss, and its parts for the log."""
        height, width = truth.masks.shape[1:]
        maps = probabilities(output.pixel_logits.float(), (height, width))
        labelled = truth.labelled.to(maps.dtype)
        hinges = margin_loss(output.cosines, truth.abnormal, self.margin)
        parts = {
            "classification": _mean(
                classification_loss(output.class_logits, truth.abnormal), labelled
            ),
            "dice": dice_loss(maps, truth.masks).mean(),
            "focal": focal_loss(maps, truth.masks, self.gamma).mean(),
            "margin": _mean(hinges, labelled),
        }
        total = torch.stack([getattr(self.weights, name) * part for name, part in parts.items()])
        values = {name: part.item() for name, part in parts.items()}
        active = _mean((hinges > 0).to(maps.dtype), labelled).item()
        return total.sum(), {"loss": total.sum().item(), **values, "active_hinges": active}


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    return (values * counted).sum() / counted.sum().clamp_min(1)
