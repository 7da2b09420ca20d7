"""Move a `Volume` to another `Grid` in one interpolation; flips and axis swaps exactly."""

from __future__ import annotations

from typing import Any, Literal

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from brainad.volume import Grid, Volume

Order = Literal[0, 1]

# An index a hair below zero counts as outside; composing and inverting affines leaves such
# hairs. Nine decimals of a voxel are far below anything visible and make round trips exact.
_VOXEL_DECIMALS = 9


def resample(
    volume: Volume,
    grid: Grid,
    order: Order = 1,
    source_from_target: NDArray[np.float64] | None = None,
) -> Volume:
    """Sample a volume at the voxel centres of a grid.

    A voxel is taken to fill its box: positions up to half a voxel beyond the outermost
    centres take the border value, everything further out is 0.

    Args:
        volume: source values.
        grid: target grid.
        order: 0 nearest neighbour (masks), 1 trilinear (images and maps).
        source_from_target: (4, 4) world mm of the target to world mm of the source;
            identity when left out.

    Returns:
        A volume on `grid`: bool stays bool, everything else becomes float32.
    """
    world = np.eye(4) if source_from_target is None else source_from_target
    index = np.linalg.inv(volume.grid.affine) @ world @ grid.affine
    index = np.round(index, _VOXEL_DECIMALS)
    is_mask = volume.data.dtype == np.bool_
    data = _exact(volume.data, grid, index)
    if data is None:
        source = volume.data.astype(np.uint8 if is_mask else np.float32, copy=False)
        data = _interpolate(source, grid, index, 0 if is_mask else order)
    return Volume(data.astype(np.bool_ if is_mask else np.float32, copy=False), grid)


def _exact(data: NDArray[Any], grid: Grid, index: NDArray[np.float64]) -> NDArray[Any] | None:
    """Copy voxels where the mapping is a flip, axis swap and whole-voxel shift; else None."""
    matrix, shift = index[:3, :3], index[:3, 3]
    magnitude = np.abs(matrix)
    is_permutation = np.array_equal(np.sort(magnitude, axis=0), np.sort(np.eye(3), axis=0))
    if not (is_permutation and np.array_equal(magnitude.sum(axis=1), np.ones(3))):
        return None
    if not np.array_equal(shift, np.round(shift)):
        return None
    result = np.zeros(grid.shape, dtype=data.dtype)
    source, target = [slice(0, 0)] * 3, [slice(0, 0)] * 3
    axes = [int(np.argmax(magnitude[:, axis])) for axis in range(3)]
    for target_axis, source_axis in enumerate(axes):
        sign, offset = int(matrix[source_axis, target_axis]), int(shift[source_axis])
        positions = sign * np.arange(grid.shape[target_axis]) + offset
        inside = np.flatnonzero((positions >= 0) & (positions < data.shape[source_axis]))
        if inside.size == 0:
            return result
        target[target_axis] = slice(int(inside[0]), int(inside[-1]) + 1)
        first, last = int(positions[inside[0]]), int(positions[inside[-1]])
        stop = last + sign
        source[source_axis] = slice(first, None if stop < 0 else stop, sign)
    result[tuple(target)] = data[tuple(source)].transpose(axes)
    return result


def _interpolate(
    data: NDArray[Any], grid: Grid, index: NDArray[np.float64], order: Order
) -> NDArray[Any]:
    """Resample in index space with SimpleITK, whose axes run in the reverse order of ours."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(index[2::-1, 2::-1].ravel().tolist())
    transform.SetTranslation(index[2::-1, 3].tolist())
    target = sitk.ResampleImageFilter()
    target.SetSize([int(n) for n in grid.shape[::-1]])
    target.SetTransform(transform)
    target.SetInterpolator(sitk.sitkLinear if order == 1 else sitk.sitkNearestNeighbor)
    target.SetDefaultPixelValue(0)
    # SimpleITK indexes (x, y, z) over memory ordered (z, y, x): our first axis is its last.
    image = sitk.GetImageFromArray(np.ascontiguousarray(data))
    result: NDArray[Any] = sitk.GetArrayFromImage(target.Execute(image))
    return result


def ras_grid(grid: Grid) -> Grid:
    """Return the same voxels with axes flipped and swapped to be closest to RAS+."""
    from_native = nib.orientations.io_orientation(grid.affine)
    affine = grid.affine @ nib.orientations.inv_ornt_aff(from_native, grid.shape)
    shape = [0, 0, 0]
    for axis, (ras_axis, _) in enumerate(from_native):
        shape[int(ras_axis)] = grid.shape[axis]
    return Grid((shape[0], shape[1], shape[2]), affine)
