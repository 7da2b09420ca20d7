"""Arrays in world space: `Grid` says where voxels are, `Volume` adds the values.

Voxel space is (i, j, k); world space is RAS+ in millimetres (x to the right, y to the
front, z up), as in NIfTI. An affine maps voxel to world: ``world = affine @ (i, j, k, 1)``.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular lattice of voxel centres in world space.

    Args:
        shape: voxels along each axis.
        affine: (4, 4) float64, voxel to world mm, invertible.

    Raises:
        ValueError: the shape is not three positive numbers or the affine is singular.
    """

    shape: Shape
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ValueError(f"affine must be a finite 4 x 4 matrix, not {self.affine!r}")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise ValueError("affine is singular: its voxels have no volume")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"shape must be three positive numbers, not {self.shape}")
        affine.flags.writeable = False
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along each axis, in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel in mm³."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Edge lengths of the box that the voxels fill, in mm."""
        x, y, z = (n * s for n, s in zip(self.shape, self.spacing_mm, strict=True))
        return x, y, z

    @property
    def centre_mm(self) -> NDArray[np.float64]:
        """World position (3,) of the middle of the box."""
        middle = (np.array(self.shape) - 1) / 2
        centre: NDArray[np.float64] = self.affine[:3, :3] @ middle + self.affine[:3, 3]
        return centre

    def array_axis(self, world_axis: int) -> int:
        """Return the array axis that runs closest to a world axis (0 right, 1 front, 2 up)."""
        direction = np.abs(self.affine[:3, :3]) / np.array(self.spacing_mm)
        return int(np.argmax(direction[world_axis]))

    def world_axis(self, array_axis: int) -> int:
        """Return the world axis (0 right, 1 front, 2 up) that an array axis runs closest to."""
        return int(np.argmax(np.abs(self.affine[:3, array_axis])))

    def corners_mm(self) -> NDArray[np.float64]:
        """World positions (8, 3) of the outermost voxel centres."""
        corners = np.array(list(itertools.product(*((0, n - 1) for n in self.shape))), dtype=float)
        world: NDArray[np.float64] = corners @ self.affine[:3, :3].T + self.affine[:3, 3]
        return world

    def corner_distance_mm(self, other: Grid) -> float:
        """Largest distance between corresponding corners; infinite if the shapes differ."""
        if self.shape != other.shape:
            return float("inf")
        distance = np.linalg.norm(self.corners_mm() - other.corners_mm(), axis=1)
        return float(distance.max())

    def matches(self, other: Grid, tolerance_mm: float = 0.01) -> bool:
        """Tell whether both grids put every voxel at the same place, within a tolerance."""
        return self.corner_distance_mm(other) <= tolerance_mm


def centred_grid(shape: Shape, spacing_mm: float, centre_mm: NDArray[np.float64]) -> Grid:
    """Make an isotropic RAS grid whose box is centred on a world position.

    Args:
        shape: voxels along x, y, z.
        spacing_mm: voxel edge.
        centre_mm: (3,) world position of the middle of the box.
    """
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = np.asarray(centre_mm) - spacing_mm * (np.array(shape) - 1) / 2
    return Grid(shape, affine)


@dataclass(frozen=True, eq=False)
class Volume:
    """Values on a grid.

    Args:
        data: array of shape ``grid.shape``; float32 for images and maps, bool for masks.
        grid: where the voxels are.
    """

    data: NDArray[Any]
    grid: Grid

    def __post_init__(self) -> None:
        if self.data.shape != self.grid.shape:
            raise ValueError(f"data {self.data.shape} does not fit grid {self.grid.shape}")
