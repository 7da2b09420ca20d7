"""How the scanner samples a head: the voxel grid, slice averaging, orientation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from brainad.phantom.anatomy import Point
from brainad.phantom.options import PhantomOptions
from brainad.phantom.template import Map
from brainad.volume import Grid, Volume


@dataclass(frozen=True)
class Scan:
    """How the voxel grid lies.

    Args:
        oblique_degrees: rotation of the grid about x, y and z.
        axes: world axis (0 right, 1 front, 2 up) that each voxel axis follows most.
        flips: +1 or -1 per world axis: whether voxels run along or against it.
    """

    oblique_degrees: Point = (0.0, 0.0, 0.0)
    axes: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[int, int, int] = (1, 1, 1)


def sample_scan(options: PhantomOptions, rng: np.random.Generator) -> Scan:
    """Draw the tilt and the axis order that the options allow."""
    tilt = options.oblique_degrees * rng.uniform(-1, 1, 3)
    oblique = (float(tilt[0]), float(tilt[1]), float(tilt[2]))
    if not options.random_orientation:
        return Scan(oblique)
    right, front, up = (int(axis) for axis in rng.permutation(3))
    x, y, z = (int(sign) for sign in rng.choice((-1, 1), 3))
    return Scan(oblique, (right, front, up), (x, y, z))


def field_of_view(
    points_mm: NDArray[np.float64], scan: Scan, spacing_mm: Point, margin_mm: float
) -> Grid:
    """Make the smallest tilted grid around native world positions (3, n), nearly RAS."""
    rotation = Rotation.from_euler("xyz", scan.oblique_degrees, degrees=True).as_matrix()
    local = rotation.T @ points_mm
    low, high = local.min(axis=1) - margin_mm, local.max(axis=1) + margin_mm
    shape = [math.ceil(edge) for edge in (high - low) / np.array(spacing_mm)]
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(spacing_mm)
    affine[:3, 3] = rotation @ (low + np.array(spacing_mm) / 2)
    return Grid((shape[0], shape[1], shape[2]), affine)


def subdivide(grid: Grid, factors: tuple[int, int, int]) -> Grid:
    """Split each voxel into as many along each axis; the box stays the same."""
    step = 1 / np.array(factors)
    shift = np.diag([*step, 1.0])
    shift[:3, 3] = (step - 1) / 2
    x, y, z = (n * factor for n, factor in zip(grid.shape, factors, strict=True))
    return Grid((x, y, z), grid.affine @ shift)


def average(values: Map, factors: tuple[int, int, int]) -> Map:
    """Undo `subdivide` on (x, y, z) values: the mean of each voxel's parts."""
    if factors == (1, 1, 1):
        return values
    (x, y, z), (a, b, c) = values.shape, factors
    blocks = values.reshape(x // a, a, y // b, b, z // c, c)
    mean: Map = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    return mean


def reorient(volume: Volume, scan: Scan) -> Volume:
    """Flip and swap voxel axes as the scan says; every voxel stays where it is in the world."""
    orientation = np.zeros((3, 2))
    for position, axis in enumerate(scan.axes):
        orientation[axis] = position, scan.flips[axis]
    data = nib.orientations.apply_orientation(volume.data, orientation)
    affine = volume.grid.affine @ nib.orientations.inv_ornt_aff(orientation, volume.grid.shape)
    return Volume(np.ascontiguousarray(data), Grid(data.shape, affine))
