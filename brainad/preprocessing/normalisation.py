"""Give the same tissue the same value in all scans: Nyúl histogram standardisation, then [0, 1].

The method is that of Nyúl, Udupa and Zhang (2000), IEEE Transactions on Medical Imaging 19,
143-150, with the percentiles 1, 10, 20, …, 90, 99 inside the brain as landmarks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainad.errors import DataError

PERCENTILES = (1, *range(10, 100, 10), 99)
_SCALE = 100.0


@dataclass(frozen=True)
class NyulReference:
    """Standard landmarks of one channel: part of a model's identity.

    Args:
        landmarks: 11 numbers, not decreasing, one per entry of `PERCENTILES`.

    Raises:
        ValueError: another count, a decrease, or all are equal.
    """

    landmarks: tuple[float, ...]

    def __post_init__(self) -> None:
        steps = np.diff(self.landmarks)
        if len(self.landmarks) != len(PERCENTILES) or not (steps >= 0).all() or not steps.any():
            raise ValueError(
                f"{len(PERCENTILES)} numbers that do not decrease are needed, not {self.landmarks}"
            )

    @property
    def hash(self) -> str:
        """SHA-256 of the landmarks."""
        return hashlib.sha256(json.dumps(self.landmarks).encode()).hexdigest()


def measure_landmarks(image: NDArray[np.float32], brain: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the (11,) intensities at `PERCENTILES` inside the brain, linearly interpolated.

    Args:
        image: (x, y, z), any unit.
        brain: (x, y, z).

    Raises:
        DataError: the brain is empty, or as good as constant, or not finite.
    """
    inside = image[brain].astype(np.float64)
    if inside.size == 0:
        raise DataError("the brain mask is empty", fix="check that the scan shows a brain")
    landmarks: NDArray[np.float64] = np.percentile(inside, PERCENTILES)
    if not np.isfinite(landmarks).all() or landmarks[0] == landmarks[-1]:
        raise DataError(
            f"intensities in the brain run from {landmarks[0]:g} to {landmarks[-1]:g}: "
            "there is no contrast to standardise",
            fix="check that the file holds the scan",
        )
    return landmarks


def fit_reference(
    images: Sequence[NDArray[np.float32]], brains: Sequence[NDArray[np.bool_]]
) -> NyulReference:
    """Average the landmarks of reference scans, each stretched to run from 0 to 100.

    Args:
        images: (x, y, z) each, of one channel; one is enough.
        brains: (x, y, z) each, in the same order.

    Raises:
        DataError: as `measure_landmarks`.
        ValueError: no image.
    """
    if not images:
        raise ValueError("a reference needs at least one image")
    stretched = []
    for image, brain in zip(images, brains, strict=True):
        landmarks = measure_landmarks(image, brain)
        stretched.append(_SCALE * (landmarks - landmarks[0]) / (landmarks[-1] - landmarks[0]))
    return NyulReference(tuple(float(value) for value in np.mean(stretched, axis=0)))


def standardise(
    image: NDArray[np.float32], brain: NDArray[np.bool_], reference: NyulReference
) -> NDArray[np.float32]:
    """Map the brain's landmarks onto the reference's, linearly in between and beyond.

    Args:
        image: (x, y, z), any unit.
        brain: (x, y, z).
        reference: of the same channel.

    Returns:
        (x, y, z) in the reference's unit, 0 outside the brain. Where several landmarks of the
        image are equal, they share the mean of their standard values.

    Raises:
        DataError: as `measure_landmarks`.
    """
    source, group = np.unique(measure_landmarks(image, brain), return_inverse=True)
    target = np.bincount(group, weights=reference.landmarks) / np.bincount(group)
    slopes = np.diff(target) / np.diff(source)
    inside = image[brain].astype(np.float64)
    mapped = np.interp(inside, source, target)
    mapped += slopes[0] * np.minimum(inside - source[0], 0)
    mapped += slopes[-1] * np.maximum(inside - source[-1], 0)
    result = np.zeros(image.shape, dtype=np.float32)
    result[brain] = mapped
    return result


def to_unit_interval(
    standardised: NDArray[np.float32], brain: NDArray[np.bool_], reference: NyulReference
) -> NDArray[np.float32]:
    """Map the first standard landmark to 0 and the last to 1; clip what lies beyond.

    Args:
        standardised: (x, y, z) as `standardise` returns it.
        brain: (x, y, z).
        reference: the same as there.

    Returns:
        (x, y, z) from 0 to 1, 0 outside the brain.
    """
    first, last = reference.landmarks[0], reference.landmarks[-1]
    unit = ((standardised - first) / (last - first)).clip(0, 1)
    return np.where(brain, unit, 0).astype(np.float32, copy=False)
