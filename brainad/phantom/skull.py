"""What surrounds the brain, taken from a T1 head in MNI space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brainad.nifti import read_volume
from brainad.phantom.template import Map, block_mean, coarser_grid, load_tissue_maps, sample_map
from brainad.resampling import resample
from brainad.volume import Grid, centred_grid

_FLUID_SMOOTHING_MM = 2.5
_TISSUE_LEVEL = 0.15
_STRIDE_MM = 4


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Extracranial tissue on a RAS grid in MNI space.

    Args:
        grid: of `t1`.
        t1: brightness on T1, (x, y, z) float32, white matter of that head being 1.
    """

    grid: Grid
    t1: Map

    def tissue_mm(self) -> NDArray[np.float64]:
        """World positions (3, n) of voxels that hold tissue, some mm apart."""
        stride = max(1, round(_STRIDE_MM / self.grid.spacing_mm[0]))
        index = stride * np.argwhere(self.t1[::stride, ::stride, ::stride] > _TISSUE_LEVEL).T
        world: NDArray[np.float64] = self.grid.affine[:3, :3] @ index
        return world + self.grid.affine[:3, 3:]


def load_surroundings(head: Path, edge_mm: int) -> Surroundings:
    """Read a head and scale its brightness by its own white matter.

    Args:
        head: T1 image with skull, registered to MNI space.
        edge_mm: voxel edge of the result, whole mm.

    Raises:
        DataError: the file cannot be read.
    """
    source = read_volume(head)
    x, y, z = (math.ceil(extent) for extent in source.grid.extent_mm)
    grid = centred_grid((x, y, z), 1.0, source.grid.centre_mm)
    t1 = resample(source, grid).data
    template = load_tissue_maps(_STRIDE_MM)
    index = np.argwhere(template.white > 0.95).T
    white = template.grid.affine[:3, :3] @ index + template.grid.affine[:3, 3:]
    t1 = np.maximum(t1 / np.median(sample_map(t1, grid, white)), 0)
    if edge_mm == 1:
        return Surroundings(grid, t1)
    return Surroundings(coarser_grid(grid, edge_mm), block_mean(t1, edge_mm))


@lru_cache(maxsize=4)
def load_fluid(edge_mm: int) -> Map:
    """Return the fraction of fluid around the template's brain, on the grid of its maps.

    A head has a brain of its own whose outline differs from the template's by some mm; the
    fluid between skull and brain covers what would stick out.

    Args:
        edge_mm: voxel edge of the maps, whole mm.
    """
    sigma = _FLUID_SMOOTHING_MM / edge_mm
    fluid = ndimage.gaussian_filter(load_tissue_maps(edge_mm).brain, sigma)
    result: Map = np.minimum(2 * fluid, 1)
    result.flags.writeable = False
    return result
