"""Slice scores → one score for the patient."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

PatientRule = Literal["top", "max", "noisy_or"]
# So that 0.05 of 40 slices is 2 and not 3 by a rounding error.
_TOLERANCE = 1e-9


def patient_score(
    slices: NDArray[Any], rule: PatientRule, top_share: float, smoothing: float
) -> float:
    """Sum up the slices of a case.

    Args:
        slices: (slices,) probabilities, neighbours next to each other; not empty.
        rule: ``top`` averages the highest slices, ``max`` takes the highest, ``noisy_or`` is
            1 − Π(1 − s), which saturates.
        top_share: share of the slices that ``top`` averages.
        smoothing: standard deviation in slices of a Gaussian along the stack, 0 for none.
    """
    scores = smooth(slices, smoothing)
    match rule:
        case "top":
            count = max(1, math.ceil(top_share * len(scores) - _TOLERANCE))
            return float(np.sort(scores)[-count:].mean())
        case "max":
            return float(scores.max())
        case "noisy_or":
            return float(1 - np.prod(1 - scores))


def smooth(slices: NDArray[Any], smoothing: float) -> NDArray[np.float64]:
    """Smooth along the stack; edges are repeated, the kernel ends at four deviations."""
    scores = np.asarray(slices, dtype=np.float64)
    if smoothing == 0:
        return scores
    result: NDArray[np.float64] = gaussian_filter1d(scores, smoothing, mode="nearest", truncate=4.0)
    return result
