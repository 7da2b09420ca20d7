"""Overlap measures and the exponential-logarithmic transform (specification 5.1)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Overlap = Literal["dice", "tversky"]

_SMOOTH = 1e-7
_TVERSKY_SMOOTH = 1e-6
_EXPONENT = 0.3
_LARGEST = 2.0
# At an overlap of 1 the derivative is infinite; below the lower end the transform is constant.
_CLAMP = (1e-5, 1 - 1e-6)


def soft_dice(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the Dice overlap of each sample.

    Args:
        predicted: (n, ...) in 0 … 1.
        target: the same shape, may be fractional.

    Returns:
        (n,).
    """
    predicted, target = predicted.flatten(1), target.flatten(1)
    both = (predicted * target).sum(1)
    return (2 * both + _SMOOTH) / (predicted.sum(1) + target.sum(1) + _SMOOTH)


def tversky(predicted: Tensor, target: Tensor, missed_weight: float) -> Tensor:
    """Return the Tversky overlap of each sample; false positives weigh ``1 - missed_weight``."""
    predicted, target = predicted.flatten(1), target.flatten(1)
    both = (predicted * target).sum(1)
    missed = ((1 - predicted) * target).sum(1)
    extra = (predicted * (1 - target)).sum(1)
    return both / (both + missed_weight * missed + (1 - missed_weight) * extra + _TVERSKY_SMOOTH)


def exponential_log(overlap: Tensor) -> Tensor:
    """Turn an overlap into a loss: EL(D) = clamp((-ln D)^0.3, 0, 2)."""
    bounded = overlap.clamp(*_CLAMP)
    return (-bounded.log()).pow(_EXPONENT).clamp(0, _LARGEST)
