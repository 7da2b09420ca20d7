"""From token distances to a smooth map of the brain, slice scores and a patient score."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from brainad.encoders.slicing import highest_values
from brainad.methods.anyad.losses import cosine_distance
from brainad.methods.anyad.network import Reconstruction

PatientRule = Literal["top_three_slices", "highest_slice"]
_TOP_SLICES = 3
# The published filter is cut at half its deviation; beyond two, little is left.
_TRUNCATE = 2.0
_SMALLEST_WEIGHT = 1e-3


def token_distance(shallow: Tensor, deep: Tensor, rebuilt: Reconstruction) -> Tensor:
    """Return (B, N) the mean cosine distance of both groups to their reconstruction (5.2, 5.3).

    Args:
        shallow: (B, N, C) En0.
        deep: (B, N, C) En1.
        rebuilt: De0 and De1 of the same images.
    """
    first = cosine_distance(shallow, rebuilt.shallow.to(shallow.dtype))
    second = cosine_distance(deep, rebuilt.deep.to(deep.dtype))
    return (first + second) / 2


def smooth_in_brain(
    evidence: NDArray[np.float32], brain: NDArray[np.bool_], sigmas: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Smooth with a Gaussian that sees brain voxels only; 0 outside the brain.

    Args:
        evidence: (x, y, z).
        brain: (x, y, z) bool.
        sigmas: deviations in voxels along x, y, z.
    """
    weight = _filtered(brain.astype(np.float32), sigmas)
    total = _filtered(np.where(brain, evidence, 0).astype(np.float32), sigmas)
    result = np.zeros_like(total)
    np.divide(total, weight, out=result, where=brain & (weight > _SMALLEST_WEIGHT))
    return result


def _filtered(
    volume: NDArray[np.float32], sigmas: tuple[float, float, float]
) -> NDArray[np.float32]:
    result: NDArray[np.float32] = ndimage.gaussian_filter(
        volume, sigmas, mode="constant", truncate=_TRUNCATE
    )
    return result


def slice_scores(
    evidence: NDArray[np.float32], brain: NDArray[np.bool_], axis: int, top_share: float
) -> NDArray[np.float32]:
    """Return (slices,) the mean of the highest values of every slice; 0 without brain.

    The number of values is a share of the fullest slice's brain area and the same for all
    slices, so a score stands for an area and not for the size of the slice.

    Args:
        evidence: (x, y, z), 0 outside the brain.
        brain: (x, y, z) bool.
        axis: that slices count along.
        top_share: 0…1; 0 takes the maximum.
    """
    areas = brain.sum(axis=tuple({0, 1, 2} - {axis}))
    count = max(math.floor(top_share * float(areas.max())), 1)
    top = highest_values(evidence, axis, count)
    scores: NDArray[np.float32] = top.mean(axis=1).astype(np.float32)
    return scores


def patient_score(scores: NDArray[np.float32], rule: PatientRule) -> float:
    """Return the mean of the three highest slice scores, or the highest."""
    count = _TOP_SLICES if rule == "top_three_slices" else 1
    return float(np.sort(scores)[-count:].mean())
