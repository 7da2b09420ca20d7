"""The losses of stage 1 (specification 2.6)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_PROMPTED_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Logits:
    """Scaled cosines of n slices with the classes, (n, classes) each.

    Args:
        both: prompted image and learnt text, l.
        text_only: unprompted image and learnt text, l_T.
        visual_only: prompted image and hand-written text, l_V.
    """

    both: Tensor
    text_only: Tensor
    visual_only: Tensor


def class_aware_loss(auxiliary: Tensor, labels: Tensor) -> Tensor:
    """Return L_ca: the prompt of the true class must be recognised as that class.

    Args:
        auxiliary: (n, classes, classes) logits, a row per class prompt.
        labels: (n,) true classes.
    """
    rows = auxiliary[torch.arange(len(labels)), labels]
    return F.cross_entropy(rows, labels)


def guided_loss(logits: Logits, auxiliary: Tensor, labels: Tensor, weight: float) -> Tensor:
    """Return the loss of the first epochs, in which each side learns beside a frozen partner."""
    return (
        F.cross_entropy(logits.text_only, labels)
        + F.cross_entropy(logits.visual_only, labels)
        + _PROMPTED_SHARE * F.cross_entropy(logits.both, labels)
        + weight * class_aware_loss(auxiliary, labels)
    )


def tuning_loss(logits: Tensor, auxiliary: Tensor, labels: Tensor, weight: float) -> Tensor:
    """Return L = L_ce + η L_ca, the published loss."""
    return F.cross_entropy(logits, labels) + weight * class_aware_loss(auxiliary, labels)
