"""Coarse versions of a scan for registration, as SimpleITK images in scaled world space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from brainad.errors import DataError
from brainad.resampling import resample
from brainad.volume import Grid, Shape, Volume, centred_grid

# A few voxels of extreme brightness must not squeeze all tissue into few histogram bins.
_DARKEST, _BRIGHTEST = 0.5, 99.5
_EDGE_VOXELS = 2

# Fluid at the brain's surface is as dark as the outside in T1 but bright in T2; without a step
# between tissue and outside, a T2 scan came out 2 % too large on the T1 template.
_STEP_AT_EDGE = 0.5

# SimpleITK is told that this many mm are one unit. It is about a brain's radius, so that equal
# changes of a matrix entry and of a shift move the brain's surface equally far. With mm and
# parameter scales, steps of the regular-step optimiser turned the brain inside out whenever
# the shift was already right, because their length is measured after scaling.
UNIT_MM = 80.0


@dataclass(frozen=True, eq=False)
class Scan:
    """A volume and, where it is known, its brain.

    Args:
        image: any grid and orientation.
        brain: bool on the grid of `image`; None leaves the surroundings as they are.
    """

    image: Volume
    brain: Volume | None

    def __post_init__(self) -> None:
        if self.brain is not None and not self.brain.data.any():
            raise DataError("the brain mask is empty", fix="check that the scan shows a brain")

    def centre_mm(self) -> NDArray[np.float64]:
        """Return the world position (3,) of the brain's centre, or of the intensities'."""
        weight = self.image.data.clip(min=0) if self.brain is None else self.brain.data
        index = np.array(ndimage.center_of_mass(weight.astype(np.float32)))
        affine = self.image.grid.affine
        centre: NDArray[np.float64] = affine[:3, :3] @ index + affine[:3, 3]
        return centre

    def brain_mm3(self) -> float:
        """Return the volume of the brain in mm³."""
        assert self.brain is not None
        return float(self.brain.data.sum()) * self.brain.grid.voxel_mm3

    def coarse(self, spacing_mm: float, margin_mm: float) -> Volume:
        """Return the clipped image on an isotropic RAS grid around it, smoothed to fit.

        Args:
            spacing_mm: voxel edge of the result.
            margin_mm: room to add around the brain; whole images are not extended, because
                what lies beyond them is unknown rather than dark.
        """
        source = self._source()
        spacing = np.array(source.grid.spacing_mm)
        sigma = np.where(spacing < spacing_mm, spacing_mm / (2 * spacing), 0.0)
        smooth = ndimage.gaussian_filter(source.data, sigma, mode="nearest", truncate=3)
        margin = 0.0 if self.brain is None else margin_mm
        return resample(Volume(smooth, source.grid), _grid_around(source.grid, spacing_mm, margin))

    def _source(self) -> Volume:
        """Cut to the brain's box, with 0 outside the brain and all tissue well above 0."""
        if self.brain is None:
            return Volume(_clipped(self.image.data, self.image.data), self.image.grid)
        image, brain = (cropped(v, self.brain.data) for v in (self.image, self.brain))
        tissue = _clipped(image.data, image.data[brain.data])
        raised = tissue + np.float32(_STEP_AT_EDGE) * tissue.max()
        return Volume(np.where(brain.data, raised, np.float32(0)), image.grid)


def cropped(volume: Volume, mask: NDArray[np.bool_]) -> Volume:
    """Cut a volume to the box around a mask of its shape and two voxels more on each side."""
    box = tuple(
        slice(max(0, axis.start - _EDGE_VOXELS), axis.stop + _EDGE_VOXELS)
        for axis in ndimage.find_objects(mask.astype(np.uint8))[0]
    )
    affine = volume.grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [axis.start for axis in box]
    x, y, z = volume.data[box].shape
    return Volume(volume.data[box], Grid((x, y, z), affine))


def itk_image(volume: Volume) -> Any:
    """Wrap a volume as a SimpleITK image whose physical space is RAS+ world in `UNIT_MM`.

    SimpleITK indexes (x, y, z) over memory ordered (z, y, x): our first axis is its last.
    """
    data = volume.data.astype(np.uint8 if volume.data.dtype == np.bool_ else np.float32, copy=False)
    image = sitk.GetImageFromArray(np.ascontiguousarray(data))
    spacing = np.array(volume.grid.spacing_mm)
    image.SetSpacing((spacing[::-1] / UNIT_MM).tolist())
    image.SetOrigin((volume.grid.affine[:3, 3] / UNIT_MM).tolist())
    image.SetDirection((volume.grid.affine[:3, :3] / spacing)[:, ::-1].ravel().tolist())
    return image


def _clipped(data: NDArray[Any], sample: NDArray[Any]) -> NDArray[np.float32]:
    low, high = np.percentile(sample, (_DARKEST, _BRIGHTEST))
    if not high > low:
        raise DataError(
            f"all intensities are {low:g}: there is nothing to align",
            fix="check that the file holds the scan",
        )
    clipped: NDArray[np.float32] = (data.clip(low, high) - low).astype(np.float32)
    return clipped


def _grid_around(grid: Grid, spacing_mm: float, margin_mm: float) -> Grid:
    corners = grid.corners_mm()
    edges = np.ptp(corners, axis=0) + 2 * margin_mm
    x, y, z = (int(n) + 1 for n in np.ceil(edges / spacing_mm))
    shape: Shape = (x, y, z)
    return centred_grid(shape, spacing_mm, (corners.min(axis=0) + corners.max(axis=0)) / 2)
