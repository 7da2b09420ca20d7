"""The total loss, and one step of the optimiser (specification, sections 3 and 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from brainad.methods.anyad.losses import (
    Moments,
    alignment_loss,
    consistency_loss,
    reconstruction_loss,
    token_moments,
)
from brainad.methods.anyad.network import Reconstruction


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts.

    Args:
        consistency: λ1, of the distance of tokens to their nearest prototype.
        alignment: λ2, of the difference of feature statistics.
        hardness: γ, how strongly hard tokens draw the gradient.
    """

    consistency: float
    alignment: float
    hardness: float


def loss_terms(
    shallow: Tensor,
    deep: Tensor,
    rebuilt: Reconstruction,
    reference: Moments | None,
    weights: LossWeights,
) -> dict[str, Tensor]:
    """Compute every term and their weighted sum, ``loss``.

    Args:
        shallow: (B, N, C) En0.
        deep: (B, N, C) En1, after alignment; the alignment term's gradient flows into it.
        rebuilt: what the network made of them.
        reference: moments of En1 with all channels; None leaves the alignment term out.
        weights: of the terms.
    """
    reconstruction = (
        reconstruction_loss(shallow, rebuilt.shallow, weights.hardness)
        + reconstruction_loss(deep, rebuilt.deep, weights.hardness)
    ) / 2
    consistency = consistency_loss(rebuilt.tokens, rebuilt.prototypes)
    terms = {"reconstruction": reconstruction, "consistency": consistency}
    total = reconstruction + weights.consistency * consistency
    if reference is not None:
        terms["alignment"] = alignment_loss(token_moments(deep), reference)
        total = total + weights.alignment * terms["alignment"]
    return {"loss": total, **terms}


def step(loss: Tensor, optimiser: Optimizer, groups: Iterable[nn.Module], limit: float) -> float:
    """Take one step; the gradient of each group is clipped on its own.

    Args:
        loss: scalar.
        optimiser: over all groups.
        groups: modules whose gradient norms are limited separately.
        limit: largest global norm of a group's gradient.

    Returns:
        The gradient norm of the first group before clipping.
    """
    optimiser.zero_grad()
    loss.backward()
    norms = [nn.utils.clip_grad_norm_(group.parameters(), limit) for group in groups]
    optimiser.step()
    return float(norms[0])


def plain(terms: Mapping[str, Tensor]) -> dict[str, float]:
    """Turn scalar tensors into numbers."""
    return {name: float(value.detach()) for name, value in terms.items()}


def mean_of(measured: list[dict[str, float]]) -> dict[str, float]:
    """Average what the steps of an epoch measured."""
    stacked = torch.tensor([list(each.values()) for each in measured], dtype=torch.float64)
    return dict(zip(measured[0], stacked.mean(0).tolist(), strict=True))
