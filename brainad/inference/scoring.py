"""Decide on the native grid: 0…1 map, mask, slice scores and sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brainad.prediction import Calibration
from brainad.volume import Volume

# Where calibrated evidence equals its threshold.
DECISION = 0.5
# So that slices without any evidence have weights.
_SAYS_NOTHING = 1e-6


@dataclass(frozen=True)
class Extent:
    """Sizes of what was found.

    Args:
        anomalous_volume_mm3: volume of the mask.
        largest_component_mm3: volume of its largest 26-connected component.
        max_slice_index: slice with the highest score.
    """

    anomalous_volume_mm3: float
    largest_component_mm3: float
    max_slice_index: int


def calibrated_map(raw: Volume, calibration: Calibration) -> Volume:
    """Turn a raw map into [0, 1), 0.5 at the map threshold, on the same grid."""
    return Volume(calibration.probability_like(raw.data, calibration.map_threshold), raw.grid)


def calibrated_score(raw: float, calibration: Calibration) -> float:
    """Turn a raw patient score into [0, 1), 0.5 at the patient threshold."""
    score = calibration.probability_like(np.array(raw), calibration.patient_threshold)
    return float(score)


def component_sizes(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Label the 26-connected components of an (x, y, z) mask and count their voxels.

    Returns:
        Component numbers (x, y, z), 0 outside, and (components + 1,) voxel counts, the first of
        them 0 for the background.
    """
    components, _ = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(np.ravel(components)).astype(np.int64)
    sizes[0] = 0
    return np.asarray(components, dtype=np.int32), sizes


def decide(calibrated: Volume, minimum_mm3: float = 0.0) -> Volume:
    """Return the mask of voxels at or above the decision threshold.

    Args:
        calibrated: map in [0, 1), 0.5 at the threshold.
        minimum_mm3: 26-connected components smaller than this are dropped.
    """
    mask = calibrated.data >= DECISION
    if minimum_mm3 > 0:
        components, sizes = component_sizes(mask)
        large = sizes * calibrated.grid.voxel_mm3 >= minimum_mm3
        large[0] = False
        mask = large[components]
    return Volume(mask, calibrated.grid)


def slice_scores(calibrated: Volume, axis: int) -> NDArray[np.float32]:
    """Return (slices,) the maximum of a 0…1 map over every slice along an array axis."""
    others = tuple(other for other in range(3) if other != axis)
    scores: NDArray[np.float32] = calibrated.data.max(axis=others)
    return scores


def carried_slice_scores(carried: Volume, calibrated: Volume, axis: int) -> NDArray[np.float32]:
    """Return (slices,) scores that a method gave to slices of the working grid.

    A slice of the scan that is tilted against the working grid crosses several of its slices. They
    count as much as the map says about the places where they are crossed, and alike where it says
    nothing: the highest of them would call slices anomalous that a lesion never reaches.

    Args:
        carried: in [0, 1), constant along working slices, 0 outside the brain.
        calibrated: map in [0, 1) on the same grid.
        axis: array axis that slices count along.
    """
    others = tuple(other for other in range(3) if other != axis)
    weights = np.where(carried.data > 0, calibrated.data + _SAYS_NOTHING, 0)
    total = weights.sum(axis=others, dtype=np.float64)
    score = (weights * carried.data).sum(axis=others, dtype=np.float64)
    means: NDArray[np.float64] = np.divide(score, total, out=np.zeros_like(score), where=total > 0)
    return means.astype(np.float32)


def extent(mask: Volume, scores: NDArray[np.float32]) -> Extent:
    """Measure a mask and find the slice that scores highest.

    Args:
        mask: (x, y, z) bool.
        scores: (slices,) slice scores; of equal ones the first slice is named.
    """
    _, sizes = component_sizes(mask.data)
    return Extent(
        anomalous_volume_mm3=float(sizes.sum() * mask.grid.voxel_mm3),
        largest_component_mm3=float(sizes.max() * mask.grid.voxel_mm3),
        max_slice_index=int(np.argmax(scores)),
    )
