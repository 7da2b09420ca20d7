"""The way home: from the working grid to the grid of the file the case came in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainad.case import Placement
from brainad.resampling import resample
from brainad.volume import Volume

# Below this share of brain around a voxel the quotient of two small numbers is noise.
_SMALLEST_BRAIN_WEIGHT = 1e-3


def restore(anomaly_map: Volume, placement: Placement, brain: NDArray[np.bool_]) -> Volume:
    """Bring a map to the native grid in one linear interpolation.

    Interpolation would mix the zeros of the background into the outer brain; dividing by the
    brain mask, interpolated the same way, averages over brain voxels only.

    Args:
        anomaly_map: (x, y, z) on the working grid, 0 outside the brain.
        placement: where the case was put.
        brain: (x, y, z) bool on the working grid.

    Returns:
        float32 map on the native grid, 0 outside the brain.
    """
    native, world = placement.native, placement.working_from_native
    inside = resample(Volume(brain, placement.working), native, 0, world).data
    weight_working = Volume(brain.astype(np.float32), placement.working)
    weight = resample(weight_working, native, 1, world).data
    total = resample(anomaly_map, native, 1, world).data
    data = np.zeros(native.shape, dtype=np.float32)
    np.divide(total, weight, out=data, where=inside & (weight > _SMALLEST_BRAIN_WEIGHT))
    return Volume(data, native)


def restore_slice_scores(
    slice_scores: NDArray[np.float32],
    slice_axis: int,
    placement: Placement,
    brain: NDArray[np.bool_],
) -> Volume:
    """Bring slice scores to the native grid, as a volume that is constant per working slice.

    Args:
        slice_scores: (slices,) per slice of the working grid.
        slice_axis: axis of the working grid that they count along.
        placement: where the case was put.
        brain: (x, y, z) bool on the working grid.

    Returns:
        float32 volume on the native grid, 0 outside the brain.
    """
    shape = [1, 1, 1]
    shape[slice_axis] = slice_scores.size
    spread = np.where(brain, slice_scores.reshape(shape), 0).astype(np.float32)
    return restore(Volume(spread, placement.working), placement, brain)
