"""The four losses: cross-entropy and margin for slices, Dice and focal for pixels.

Dice is written out although MONAI has the same formula: importing MONAI takes several seconds,
which every command that plans would pay.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_DICE_SMOOTH = 1.0
# The focal loss that the paper builds on clamps its one-hot target at 1e-5 and adds 1e-5; for
# two classes that is this much of the other class's probability.
_FOCAL_FLOOR = 2e-5


def dice_loss(probabilities: Tensor, mask: Tensor) -> Tensor:
    """Return 1 − (2 Σ p g + 1) / (Σ p + Σ g + 1) per image.

    An empty mask penalises every positive mass.

    Args:
        probabilities: (images, 2, rows, columns), normal and abnormal.
        mask: (images, rows, columns), 1 in the lesion.

    Returns:
        (images,).
    """
    abnormal = probabilities[:, 1].flatten(1)
    lesion = mask.flatten(1).to(abnormal.dtype)
    overlap = 2 * (abnormal * lesion).sum(1) + _DICE_SMOOTH
    return 1 - overlap / (abnormal.sum(1) + lesion.sum(1) + _DICE_SMOOTH)


def focal_loss(
    probabilities: Tensor, mask: Tensor, gamma: float, weights: tuple[float, float] | None = None
) -> Tensor:
    """Return the mean over the pixels of −(1 − p)^γ ln p, p being the true class's probability.

    Args:
        probabilities: (images, 2, rows, columns).
        mask: (images, rows, columns), 1 in the lesion.
        gamma: how little well classified pixels count.
        weights: of normal and abnormal pixels, scaled to sum 1; None counts both alike.

    Returns:
        (images,).
    """
    lesion = mask.long()
    true = probabilities.gather(1, lesion[:, None])[:, 0]
    true = true + _FOCAL_FLOOR * (1 - true)
    loss = -((1 - true) ** gamma) * true.log()
    if weights is not None:
        share = torch.tensor(weights, dtype=loss.dtype, device=loss.device)
        loss = loss * (share / share.sum())[lesion]
    return loss.flatten(1).mean(1)


def classification_loss(logits: Tensor, abnormal: Tensor) -> Tensor:
    """Return the binary cross-entropy per image.

    Args:
        logits: (images, 2), normal and abnormal.
        abnormal: (images,) bool.

    Returns:
        (images,).
    """
    difference = logits[:, 1] - logits[:, 0]
    return functional.binary_cross_entropy_with_logits(
        difference, abnormal.to(difference.dtype), reduction="none"
    )


def margin_loss(cosines: Tensor, abnormal: Tensor, margin: float) -> Tensor:
    """Return max(0, m − σ (s_normal − s_abnormal)) per image, σ = +1 if normal, −1 if abnormal.

    Args:
        cosines: (images, 2), normal and abnormal.
        abnormal: (images,) bool.
        margin: by how much the right prompt must be nearer.

    Returns:
        (images,).
    """
    sign = 1 - 2 * abnormal.to(cosines.dtype)
    return functional.relu(margin - sign * (cosines[:, 0] - cosines[:, 1]))
