"""Lesions as objects: connected components, how much of each was found, sensitivity by size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SIZE_EDGES_MM3 = (0.0, 100.0, 1000.0, math.inf)


@dataclass(frozen=True)
class Lesion:
    """One lesion of the truth.

    Args:
        volume_mm3: its volume.
        overlap: share of its voxels that were predicted, 0…1.
    """

    volume_mm3: float
    overlap: float

    @property
    def is_found(self) -> bool:
        """Tell whether at least one voxel was predicted."""
        return self.overlap > 0


def lesion_regions(lesion: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Label the 26-connected components of an (x, y, z) mask from 1 upwards, background 0."""
    regions, _ = ndimage.label(lesion, structure=np.ones((3, 3, 3)))
    return np.asarray(regions, dtype=np.int32)


def measure_lesions(
    regions: NDArray[np.int32], predicted: NDArray[Any], voxel_mm3: float
) -> list[Lesion]:
    """Measure every lesion against a predicted mask.

    Args:
        regions: (x, y, z) lesions numbered from 1, 0 elsewhere.
        predicted: (x, y, z) bool.
        voxel_mm3: volume of a voxel.

    Returns:
        The lesions in the order of their numbers.
    """
    sizes = np.bincount(regions.ravel())[1:]
    found = np.bincount(regions[predicted], minlength=sizes.size + 1)[1:]
    return [
        Lesion(int(size) * voxel_mm3, int(hit) / int(size))
        for size, hit in zip(sizes, found, strict=True)
    ]


def sensitivity(lesions: Sequence[Lesion]) -> float:
    """Return the share of lesions that were found, NaN without lesions."""
    if not lesions:
        return math.nan
    return sum(lesion.is_found for lesion in lesions) / len(lesions)


def sensitivity_by_size(
    lesions: Sequence[Lesion], edges_mm3: Sequence[float] = SIZE_EDGES_MM3
) -> list[float]:
    """Return the share of lesions found per size bin [edge, next edge), NaN for an empty bin."""
    return [
        sensitivity([lesion for lesion in lesions if low <= lesion.volume_mm3 < high])
        for low, high in itertools.pairwise(edges_mm3)
    ]
