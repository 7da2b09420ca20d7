"""The losses of stage 2, one value per slice (specification 5.3 to 5.6, 8, 10.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from brainad.methods.rasalore.network import Drawing
from brainad.methods.rasalore.overlap import Overlap, exponential_log, soft_dice, tversky
from brainad.methods.rasalore.weighting import centre_weighted, rim_weighted

# Widths of the weighting relate to a mask of this edge.
_FRAME = 256


@dataclass(frozen=True)
class LossSettings:
    """Weights of the stage-2 losses.

    Args:
        overlap: measure of the two foreground terms of the decoder loss; ``tversky`` reproduces
            the released training, ``dice`` the published formula.
        missed_weight: of false negatives, for ``tversky``.
        false_positive: α.
        background: β.
        sigma: of the foreground weighting, in pixels of a mask of 256 pixels.
        background_sigma: of the background weighting.
        structural: weight of the structural loss; 1 is published, 0 the ablation without it.
        alignment: λ of the alignment of channels with the bridge.
        alignment_reduction: ``mean`` over points and widths, or the literal ``sum``.
    """

    overlap: Overlap = "tversky"
    missed_weight: float = 0.3
    false_positive: float = 0.6
    background: float = 0.6
    sigma: float = 10.0
    background_sigma: float = 15.0
    structural: float = 1.0
    alignment: float = 1.0
    alignment_reduction: Literal["mean", "sum"] = "mean"


@dataclass(frozen=True, eq=False)
class Targets:
    """What n slices are compared with.

    Args:
        weak: (n, mask, mask) pseudo masks, 0 or 1.
        points: (n, points²) active candidate points.
        segmenter: (n, mask, mask) masks of the promptable segmenter; empty where there is none.
        anomalous: (n,) bool; healthy slices have no pseudo mask.
    """

    weak: Tensor
    points: Tensor
    segmenter: Tensor
    anomalous: Tensor


def stage_two_loss(drawing: Drawing, targets: Targets, settings: LossSettings) -> dict[str, Tensor]:
    """Return the three losses of each slice, weighted, by name: (n,) each.

    Healthy slices get the parts that make sense without a mask.
    """
    probabilities = drawing.probabilities
    anomalous = targets.anomalous
    return {
        "decoder": torch.where(
            anomalous,
            decoder_loss(probabilities, targets.weak, targets.segmenter, settings),
            healthy_decoder_loss(probabilities, settings),
        ),
        "points": torch.where(
            anomalous,
            point_loss(drawing.activations, targets.points),
            drawing.activations.mean(1),
        ),
        # A healthy slice has no active point, which leaves the part that pulls towards -1.
        "structural": settings.structural * structural_loss(drawing.embeddings, targets.points),
    }


def decoder_loss(
    probabilities: Tensor, weak: Tensor, segmenter: Tensor, settings: LossSettings
) -> Tensor:
    """Return L_Dec of each slice; terms whose mask is empty are left out.

    Args:
        probabilities: (n, size, size), M_ANO.
        weak: (n, size, size) pseudo masks, M_DDPT.
        segmenter: (n, size, size), M_SAM.
        settings: weights.
    """
    zoom = weak.shape[-1] / _FRAME
    sigma, background_sigma = settings.sigma * zoom, settings.background_sigma * zoom
    outside = 1 - weak
    agreement = soft_dice(segmenter, weak)
    inside = exponential_log(_overlap(probabilities, centre_weighted(weak, sigma), settings))
    rim = exponential_log(_overlap(probabilities, rim_weighted(segmenter, sigma), settings))
    background = soft_dice(
        (1 - probabilities) * outside, centre_weighted(outside, background_sigma)
    )
    return (
        _unless_empty(weak, inside)
        + agreement * _unless_empty(segmenter, rim)
        + settings.false_positive * (probabilities * outside).mean((1, 2))
        + settings.background * exponential_log(background)
    )


def healthy_decoder_loss(probabilities: Tensor, settings: LossSettings) -> Tensor:
    """Return what remains of the decoder loss on a healthy slice: nothing should be drawn."""
    quiet = 1 - probabilities
    background = exponential_log(soft_dice(quiet, torch.ones_like(quiet)))
    return settings.false_positive * probabilities.mean((1, 2)) + settings.background * background


def point_loss(activations: Tensor, active: Tensor) -> Tensor:
    """Return L_PA of each slice: activations (n, k) against active points (n, k)."""
    return exponential_log(soft_dice(activations, active))


def structural_loss(embeddings: Tensor, active: Tensor) -> Tensor:
    """Return L_Struct of each slice: active points are drawn to +1, the others to -1.

    Args:
        embeddings: (n, k, width), ξ_ESPE.
        active: (n, k), 0 or 1.
    """
    return _mean_over((embeddings - 1).square().mean(2), active) + _mean_over(
        (embeddings + 1).square().mean(2), 1 - active
    )


def alignment_loss(embeddings: Tensor, bridge: Tensor, reduction: Literal["mean", "sum"]) -> Tensor:
    """Return L_align of each slice: a channel's points against those of the bridge.

    No gradient reaches the bridge.

    Args:
        embeddings: (n, k, width) of the channel.
        bridge: (n, k, width) of the bridge channel.
        reduction: over points and widths.
    """
    squares = (embeddings - bridge.detach()).square().flatten(1)
    return squares.mean(1) if reduction == "mean" else squares.sum(1)


def _overlap(predicted: Tensor, target: Tensor, settings: LossSettings) -> Tensor:
    if settings.overlap == "dice":
        return soft_dice(predicted, target)
    return tversky(predicted, target, settings.missed_weight)


def _unless_empty(masks: Tensor, term: Tensor) -> Tensor:
    return torch.where(masks.flatten(1).any(1), term, 0.0)


def _mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    return (values * chosen).sum(1) / chosen.sum(1).clamp(min=1)
