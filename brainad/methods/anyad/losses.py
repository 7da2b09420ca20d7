"""The losses of AnyAD (specification, section 3); all take tokens as (B, N, C)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

COSINE_EPSILON = 1e-8


def cosine_distance(one: Tensor, other: Tensor) -> Tensor:
    """Return 1 − cosine over the last axis."""
    return 1 - F.cosine_similarity(one, other, dim=-1, eps=COSINE_EPSILON)


def consistency_loss(tokens: Tensor, prototypes: Tensor) -> Tensor:
    """Return the mean distance of a token to its nearest prototype (3.1).

    Args:
        tokens: (B, N, C); no gradient flows into them unless they carry one.
        prototypes: (B, T, C) of the same images.
    """
    return nearest_distance(tokens, prototypes).mean()


def nearest_distance(tokens: Tensor, prototypes: Tensor) -> Tensor:
    """Return (B, N) the cosine distance of each token to the nearest prototype."""
    units = (F.normalize(each, dim=-1, eps=COSINE_EPSILON) for each in (tokens, prototypes))
    token, prototype = units
    return (1 - token @ prototype.transpose(-2, -1)).min(dim=-1).values


def reconstruction_loss(target: Tensor, rebuilt: Tensor, hardness: float) -> Tensor:
    """Return the global cosine loss of one group, with gradients drawn to hard tokens (3.2).

    Each image counts as one long vector. The value does not depend on `hardness`: weights act on
    the gradient alone.

    Args:
        target: (B, N, C) encoder features; no gradient flows into them.
        rebuilt: (B, N, C).
        hardness: γ; 0 treats all tokens alike.
    """
    target = target.detach()
    weighted = scale_gradient(rebuilt, mining_weights(target, rebuilt, hardness)[..., None])
    return cosine_distance(target.flatten(1), weighted.flatten(1)).mean()


def mining_weights(target: Tensor, rebuilt: Tensor, hardness: float) -> Tensor:
    """Return (B, N) (distance / mean distance)^γ, without gradient."""
    with torch.no_grad():
        distance = cosine_distance(target, rebuilt)
        weights: Tensor = (distance / distance.mean().clamp_min(COSINE_EPSILON)) ** hardness
        return weights


def scale_gradient(values: Tensor, weights: Tensor) -> Tensor:
    """Return the values unchanged, such that their gradient is multiplied by the weights."""
    scaled = values * weights
    return scaled + (values - scaled).detach()


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and unbiased standard deviation per feature.

    Args:
        mean: (C,).
        std: (C,).
    """

    mean: Tensor
    std: Tensor


def token_moments(tokens: Tensor) -> Moments:
    """Measure (B, N, C) tokens over all images and places."""
    flat = tokens.flatten(0, -2)
    return Moments(flat.mean(0), flat.std(0, unbiased=True))


def alignment_loss(current: Moments, reference: Moments) -> Tensor:
    """Return the mean squared difference of means plus that of standard deviations (3.3)."""
    return F.mse_loss(current.mean, reference.mean) + F.mse_loss(current.std, reference.std)
