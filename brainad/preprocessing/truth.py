"""Bring what is known about a case onto the working grid: lesion mask and labels per slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainad.case import Labels, Placement
from brainad.resampling import resample
from brainad.truth import ANOMALOUS, NORMAL, UNKNOWN, PreparedTruth
from brainad.volume import Grid, Volume

# A working slice is anomalous if at least this share of its brain lies in anomalous slices.
_ANOMALOUS_SHARE = 0.5


def place_truth(
    labels: Labels,
    lesion: Volume | None,
    placement: Placement,
    brain: NDArray[np.bool_],
    slice_axis: int,
) -> PreparedTruth:
    """Bring the truth of a case onto the working grid.

    Labels per slice rank above the mask, the mask above the diagnosis. A mask is taken to have
    been drawn in the space of the reference channel.

    Args:
        labels: diagnosis and labels per slice of the file.
        lesion: bool on its own grid, or None without a mask.
        placement: how the case was placed.
        brain: (x, y, z) bool on the working grid.
        slice_axis: axis of the working grid that slices count along.
    """
    slices = np.full(brain.shape[slice_axis], UNKNOWN, dtype=np.int8)
    placed = None
    if labels.label == "healthy":
        slices[:] = NORMAL
    elif lesion is not None:
        placed, slices = _place_lesion(lesion, placement, slice_axis)
    if labels.slices and labels.slice_axis is not None:
        known = _place_slices(labels, placement, brain, slice_axis)
        slices = np.where(known == UNKNOWN, slices, known).astype(np.int8)
    return PreparedTruth(placed, slices)


def _place_lesion(
    lesion: Volume, placement: Placement, slice_axis: int
) -> tuple[NDArray[np.bool_], NDArray[np.int8]]:
    """Place a mask; a slice that is touched by less than a voxel counts as unknown."""
    world = _native_from_working(placement)
    placed = resample(lesion, placement.working, 0, world).data
    weight = Volume(lesion.data.astype(np.float32), lesion.grid)
    touched = resample(weight, placement.working, 1, world).data > 0
    others = tuple({0, 1, 2} - {slice_axis})
    slices = np.where(touched.any(axis=others), UNKNOWN, NORMAL)
    slices[placed.any(axis=others)] = ANOMALOUS
    return placed, slices.astype(np.int8)


def _place_slices(
    labels: Labels, placement: Placement, brain: NDArray[np.bool_], slice_axis: int
) -> NDArray[np.int8]:
    """Turn labels of file slices into labels of working slices, which may cut several.

    A working slice is normal if all of its brain lies in normal slices, anomalous if half of it
    lies in anomalous ones, and unknown otherwise.
    """
    assert labels.slice_axis is not None, "the caller checked it"
    normal, anomalous = (
        _brain_per_slice(
            _spread(labels, wanted, labels.slice_axis, placement.native),
            placement,
            brain,
            slice_axis,
        )
        for wanted in (False, True)
    )
    total = brain.sum(axis=tuple({0, 1, 2} - {slice_axis}))
    slices = np.full(total.size, UNKNOWN, dtype=np.int8)
    slices[(total > 0) & (normal == total)] = NORMAL
    slices[(total > 0) & (anomalous >= _ANOMALOUS_SHARE * total)] = ANOMALOUS
    return slices


def _spread(labels: Labels, wanted: bool, axis: int, grid: Grid) -> Volume:
    """Mark the voxels of all file slices that carry a label."""
    data = np.zeros(grid.shape, dtype=np.bool_)
    marked = [index for index, anomalous in labels.slices.items() if anomalous == wanted]
    np.moveaxis(data, axis, 0)[marked] = True
    return Volume(data, grid)


def _brain_per_slice(
    marked: Volume, placement: Placement, brain: NDArray[np.bool_], slice_axis: int
) -> NDArray[np.int64]:
    """Count the marked brain voxels of every working slice."""
    inside = resample(marked, placement.working, 0, _native_from_working(placement)).data & brain
    counts: NDArray[np.int64] = inside.sum(axis=tuple({0, 1, 2} - {slice_axis}))
    return counts


def _native_from_working(placement: Placement) -> NDArray[np.float64]:
    return np.linalg.inv(placement.working_from_native).astype(np.float64)
