"""The MNI152 tissue maps that all phantoms are made from, at one or several mm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brainad.volume import Grid

Map = NDArray[np.float32]

_PARENCHYMA_SMOOTHING_MM = 2.0


@dataclass(frozen=True, eq=False)
class TissueMaps:
    """Fractions 0 to 1 of each tissue and the T1 detail that they do not explain.

    Args:
        grid: RAS grid in MNI space; all maps are (x, y, z) float32 of its shape.
        brain: fraction inside the brain, cerebrospinal fluid included.
        grey: fraction of grey matter.
        white: fraction of white matter.
        parenchyma: brain without ventricles, narrow sulci filled; where lesions may be.
        detail: T1 minus the mixture of tissue means, white matter being 1.
    """

    grid: Grid
    brain: Map
    grey: Map
    white: Map
    parenchyma: Map
    detail: Map


@lru_cache(maxsize=4)
def load_tissue_maps(edge_mm: int) -> TissueMaps:
    """Load the ICBM 2009 template that nilearn ships, averaged to voxels of whole mm.

    Args:
        edge_mm: voxel edge; 1 is the template's own.

    Returns:
        Read-only maps, kept for the next call.
    """
    if edge_mm == 1:
        return _load_full_resolution()
    full = load_tissue_maps(1)
    names = ("brain", "grey", "white", "parenchyma", "detail")
    maps = {name: _frozen(block_mean(getattr(full, name), edge_mm)) for name in names}
    return TissueMaps(grid=coarser_grid(full.grid, edge_mm), **maps)


def _load_full_resolution() -> TissueMaps:
    # Imported here: nilearn takes a second to import and only phantoms need it.
    from nilearn import datasets  # noqa: PLC0415

    image = datasets.load_mni152_template(resolution=1)
    t1 = image.get_fdata(dtype=np.float32)
    grey = datasets.load_mni152_gm_template(resolution=1).get_fdata(dtype=np.float32)
    white = datasets.load_mni152_wm_template(resolution=1).get_fdata(dtype=np.float32)
    inside = t1 > 0
    brain = inside.astype(np.float32)
    grey, white = grey * brain, white * brain
    fractions = np.stack([(brain - grey - white)[inside], grey[inside], white[inside]], axis=1)
    means = np.linalg.lstsq(fractions, t1[inside], rcond=None)[0]
    detail = np.zeros_like(t1)
    detail[inside] = (t1[inside] - fractions @ means) / means[2]
    smooth = ndimage.gaussian_filter(grey + white, _PARENCHYMA_SMOOTHING_MM)
    parenchyma = brain * np.clip((smooth - 0.4) / 0.2, 0, 1)
    maps = {"brain": brain, "grey": grey, "white": white}
    maps |= {"parenchyma": parenchyma, "detail": detail}
    grid = Grid(t1.shape, image.affine)
    return TissueMaps(grid=grid, **{name: _frozen(values) for name, values in maps.items()})


def coarser_grid(grid: Grid, factor: int) -> Grid:
    """Return the grid of `block_mean`: voxels merged into blocks of factor³."""
    x, y, z = (math.ceil(n / factor) for n in grid.shape)
    merge = np.diag([factor, factor, factor, 1.0])
    merge[:3, 3] = (factor - 1) / 2
    return Grid((x, y, z), grid.affine @ merge)


def block_mean(values: Map, factor: int) -> Map:
    """Average blocks of factor³ voxels, the last ones filled up with zeros."""
    padded = np.pad(values, [(0, -n % factor) for n in values.shape])
    x, y, z = (n // factor for n in padded.shape)
    blocks = padded.reshape(x, factor, y, factor, z, factor)
    mean: Map = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    return mean


def _frozen(values: Map) -> Map:
    result = np.ascontiguousarray(values, dtype=np.float32)
    result.flags.writeable = False
    return result


def sample_map(values: Map, grid: Grid, points_mm: NDArray[np.floating]) -> Map:
    """Read a map at world positions, trilinear, 0 outside its grid.

    Args:
        values: (x, y, z) on `grid`.
        grid: an axis-aligned RAS grid.
        points_mm: (3, ...) world positions.

    Returns:
        float32 of shape ``points_mm.shape[1:]``.
    """
    column = (3, *[1] * (points_mm.ndim - 1))
    per_mm = (1 / np.array(grid.spacing_mm, dtype=np.float32)).reshape(column)
    origin = grid.affine[:3, 3].astype(np.float32).reshape(column)
    index = (points_mm.astype(np.float32, copy=False) - origin) * per_mm
    result: Map = ndimage.map_coordinates(values, index, output=np.float32, order=1)
    return result
