"""Where anatomy goes: pose, diffeomorphic warp and mass effect in one coordinate map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from brainad.phantom.template import Map, load_tissue_maps
from brainad.volume import Grid, centred_grid

Point = tuple[float, float, float]

_LATTICE_MM = 8.0
_SQUARINGS = 5
# Two scales of variation: lobes move together, gyri shift a little on their own.
_SMOOTHING_MM = {30.0: 0.85, 14.0: 0.5}
_INVERSION_STEPS = 30


@dataclass(frozen=True)
class Pose:
    """A similarity transform about the template's origin with a scale per axis.

    Args:
        rotation_degrees: about x, y and z.
        scale: along x, y and z of the template.
        shift_mm: applied last.
    """

    rotation_degrees: Point = (0.0, 0.0, 0.0)
    scale: Point = (1.0, 1.0, 1.0)
    shift_mm: Point = (0.0, 0.0, 0.0)

    @property
    def native_from_template(self) -> NDArray[np.float64]:
        """Matrix (4, 4) from template world mm to native world mm."""
        matrix = np.eye(4)
        rotation = Rotation.from_euler("xyz", self.rotation_degrees, degrees=True)
        matrix[:3, :3] = rotation.as_matrix() @ np.diag(self.scale)
        matrix[:3, 3] = self.shift_mm
        return matrix


@dataclass(frozen=True)
class MassEffect:
    """A push away from a centre, strongest at `radius_mm`, invertible below radius / 1.65.

    Args:
        centre_mm: native world position that stays.
        radius_mm: distance of the largest displacement.
        push_mm: the largest displacement.
    """

    centre_mm: Point
    radius_mm: float
    push_mm: float


def sample_pose(rng: np.random.Generator) -> Pose:
    """Draw a rotation within 8 degrees, a size from 0.93 to 1.07 and a shift within 8 mm."""
    size = rng.uniform(0.945, 1.055)
    scale = size * (1 + rng.uniform(-0.014, 0.014, 3))
    return Pose(_point(rng.uniform(-8, 8, 3)), _point(scale), _point(rng.uniform(-8, 8, 3)))


def _point(values: NDArray[np.float64]) -> Point:
    x, y, z = (float(value) for value in values)
    return x, y, z


@dataclass(frozen=True, eq=False)
class Warp:
    """A displacement field on a coarse lattice: positions after the pose to the template.

    Args:
        grid: RAS lattice in template space.
        displacement_mm: (3, x, y, z) float64, added to a position.
    """

    grid: Grid
    displacement_mm: NDArray[np.float64]

    def apply(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move positions (3, ...) into the unwarped template."""
        return points_mm + _interpolate(self.displacement_mm, self.grid, points_mm)

    def invert(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Find the positions (3, ...) that `apply` moves to the given ones."""
        found = points_mm
        for _ in range(_INVERSION_STEPS):
            found = points_mm - _interpolate(self.displacement_mm, self.grid, found)
        return found


def make_warp(amplitude_mm: float, rng: np.random.Generator) -> Warp:
    """Integrate a random stationary velocity field by scaling and squaring.

    The exponential of a smooth velocity has a positive Jacobian everywhere (Arsigny et al.,
    A Log-Euclidean Framework for Statistics on Diffeomorphisms, 2006).

    Args:
        amplitude_mm: root mean square of the velocity in the brain; 0 gives the identity.
        rng: source of the field.
    """
    template = load_tissue_maps(4)
    shape = [math.ceil(edge / _LATTICE_MM) + 6 for edge in template.grid.extent_mm]
    grid = centred_grid((shape[0], shape[1], shape[2]), _LATTICE_MM, template.grid.centre_mm)
    velocity = np.zeros((3, *grid.shape))
    for smoothing_mm, weight in _SMOOTHING_MM.items():
        noise = rng.standard_normal(velocity.shape)
        sigma = smoothing_mm / _LATTICE_MM
        smooth = ndimage.gaussian_filter(noise, (0, sigma, sigma, sigma), mode="wrap")
        velocity += weight * smooth / smooth.std()
    norm = np.sqrt((velocity**2).sum(axis=0).mean())
    displacement = velocity * (amplitude_mm / norm) / 2**_SQUARINGS
    lattice = _positions(grid)
    for _ in range(_SQUARINGS):
        displacement = displacement + _interpolate(displacement, grid, lattice + displacement)
    return Warp(grid, displacement)


def _positions(grid: Grid) -> NDArray[np.float64]:
    """World positions (3, x, y, z) of all voxel centres."""
    index = np.indices(grid.shape, dtype=np.float64)
    positions: NDArray[np.float64] = np.tensordot(grid.affine[:3, :3], index, axes=1)
    return positions + grid.affine[:3, 3].reshape(3, 1, 1, 1)


def _interpolate(
    field: NDArray[np.float64], grid: Grid, points_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Read a vector field on an axis-aligned RAS lattice at (3, ...) world positions."""
    origin = grid.affine[:3, 3].reshape(3, *[1] * (points_mm.ndim - 1))
    index = (points_mm - origin) / grid.spacing_mm[0]
    parts = [ndimage.map_coordinates(part, index, order=1, mode="nearest") for part in field]
    return np.stack(parts)


def template_positions(
    grid: Grid, pose: Pose, warp: Warp, mass_effects: Sequence[MassEffect] = ()
) -> Map:
    """Map every voxel of a native grid to the place in the template that it shows.

    Native position → mass effects → inverse pose, plus the warp's displacement, which is
    evaluated on a coarse lattice over the grid (without the mass effects, far smaller than
    its own scale) and interpolated along one axis at a time.

    Returns:
        (3, x, y, z) float32 world mm of the template.
    """
    native = native_positions(grid)
    for effect in mass_effects:
        _pull_back(native, effect)
    template_from_native = np.linalg.inv(pose.native_from_template)
    knots, weights = _coarse_lattice(grid)
    posed = _transform(template_from_native @ grid.affine, knots)
    displacement = _interpolate(warp.displacement_mm, warp.grid, posed).astype(np.float32)
    matrix = template_from_native.astype(np.float32)
    result: Map = np.tensordot(matrix[:3, :3], native, axes=1)
    for axis in range(3):
        result[axis] += matrix[axis, 3] + _expand(displacement[axis], weights)
    return result


def native_positions(grid: Grid) -> Map:
    """World positions (3, x, y, z) float32 of all voxel centres."""
    matrix = grid.affine.astype(np.float32)
    x, y, z = np.ogrid[tuple(slice(n) for n in grid.shape)]
    x, y, z = x.astype(np.float32), y.astype(np.float32), z.astype(np.float32)
    return np.stack([row[0] * x + row[1] * y + (row[2] * z + row[3]) for row in matrix[:3]])


def _transform(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = np.tensordot(matrix[:3, :3], points, axes=1)
    return moved + matrix[:3, 3].reshape(3, *[1] * (points.ndim - 1))


def _coarse_lattice(grid: Grid) -> tuple[NDArray[np.float64], list[Map]]:
    """Return lattice indices (3, a, b, c) about 8 mm apart and a matrix (n, a) per axis."""
    axes, weights = [], []
    for size, edge in zip(grid.shape, grid.spacing_mm, strict=True):
        count = max(2, math.ceil(size * edge / _LATTICE_MM) + 1)
        position = np.linspace(0, count - 1, size)
        distance = np.abs(position[:, None] - np.arange(count))
        weights.append(np.clip(1 - distance, 0, None).astype(np.float32))
        axes.append(np.linspace(0, size - 1, count))
    knots: NDArray[np.float64] = np.stack(np.meshgrid(*axes, indexing="ij"))
    return knots, weights


def _expand(coarse: Map, weights: list[Map]) -> Map:
    """Interpolate linearly along each axis with its (n, a) matrix."""
    for matrix in weights:
        coarse = np.tensordot(coarse, matrix, axes=([0], [1]))
    return coarse


def _pull_back(positions: Map, effect: MassEffect) -> None:
    """Replace positions by where their tissue was before the push, in place, near the centre."""
    centre = np.array(effect.centre_mm, dtype=np.float32)
    offset = positions - centre.reshape(3, 1, 1, 1)
    squared = (offset**2).sum(axis=0) / effect.radius_mm**2
    factor = effect.push_mm / effect.radius_mm * np.exp(0.5 * (1 - squared))
    positions -= offset * factor.astype(np.float32)
