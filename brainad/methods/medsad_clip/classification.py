"""Is the slice abnormal: the class token against the two prompts."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_SMALLEST, _LARGEST = 1.0, 100.0


def similarities(features: Tensor, prototypes: Tensor) -> Tensor:
    """Return (images, 2) cosines of features (images, width) with prototypes (2, width)."""
    return functional.normalize(features, dim=-1) @ functional.normalize(prototypes, dim=-1).T


def margin_ceiling(prototypes: Tensor) -> float:
    """Return the largest difference that the two cosines of any feature can have.

    It is the distance of the two unit prototypes. While it lies below the margin of the
    contrastive loss, that loss cannot reach 0.
    """
    normal, abnormal = functional.normalize(prototypes, dim=-1)
    return float(torch.linalg.vector_norm(normal - abnormal))


class Temperature(nn.Module):
    """The factor that turns cosines into logits.

    Args:
        start: its value, or its first value.
        learnable: learn its logarithm, within 1 to 100.
    """

    def __init__(self, start: float, learnable: bool) -> None:
        super().__init__()
        logarithm = torch.tensor([math.log(start)])
        self.logarithm = nn.Parameter(logarithm, requires_grad=learnable)

    def forward(self) -> Tensor:
        """Return the factor."""
        return self.logarithm.exp().clamp(_SMALLEST, _LARGEST)
