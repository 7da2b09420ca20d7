"""The grid all prepared cases share: centred on the template's brain, large enough for it."""

from __future__ import annotations

import numpy as np

from brainad.preprocessing.template import Template
from brainad.volume import Grid, Shape, Volume, centred_grid


def working_grid(template: Template, shape: Shape, spacing_mm: float) -> Grid:
    """Make the isotropic RAS grid whose box is centred on the box of the template's brain.

    A plan may ask for a box that is smaller than the brain (156 mm is the published one);
    `share_outside` tells what that costs.

    Args:
        template: space of the prepared cases.
        shape: voxels along x, y, z.
        spacing_mm: voxel edge.
    """
    lower, upper = template.box_mm()
    return centred_grid(shape, spacing_mm, (lower + upper) / 2)


def fitting_spacing_mm(template: Template, shape: Shape, margin_mm: float) -> float:
    """Return the smallest voxel edge with which the working grid cuts no brain.

    Args:
        template: space of the prepared cases.
        shape: voxels along x, y, z.
        margin_mm: room on each side for brains that are larger than the template's.
    """
    lower, upper = template.box_mm()
    return float(np.max((upper - lower + 2 * margin_mm) / np.array(shape)))


def share_outside(mask: Volume, grid: Grid) -> float:
    """Return the share of a mask's voxels, 0 to 1, whose centres lie outside a grid's box."""
    index = np.argwhere(mask.data)
    if index.size == 0:
        return 0.0
    to_grid = np.linalg.inv(grid.affine) @ mask.grid.affine
    position = index @ to_grid[:3, :3].T + to_grid[:3, 3]
    inside = ((position >= -0.5) & (position <= np.array(grid.shape) - 0.5)).all(axis=1)
    return float(1 - inside.mean())
