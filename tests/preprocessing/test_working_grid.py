from __future__ import annotations

import numpy as np
import pytest

from brainad.preprocessing.template import Template
from brainad.preprocessing.working_grid import fitting_spacing_mm, share_outside, working_grid
from brainad.volume import Grid, Volume


def _template() -> Template:
    """Build a block of 10 x 20 x 8 voxels of 1 mm as the brain."""
    affine = np.eye(4)
    affine[:3, 3] = (-20.0, -30.0, 5.0)
    brain = np.zeros((40, 50, 30), dtype=bool)
    brain[5:15, 6:26, 7:15] = True
    grid = Grid(brain.shape, affine)
    return Template("block", Volume(brain.astype(np.float32), grid), Volume(brain, grid))


def test_the_grid_is_centred_on_the_brain() -> None:
    grid = working_grid(_template(), (12, 12, 12), 2.0)
    assert grid.centre_mm.tolist() == [-10.5, -14.5, 15.5]
    assert grid.spacing_mm == (2.0, 2.0, 2.0)


def test_the_fitting_spacing_cuts_nothing() -> None:
    template = _template()
    spacing = fitting_spacing_mm(template, (14, 14, 14), margin_mm=4.0)
    assert spacing == 2.0
    assert share_outside(template.brain, working_grid(template, (14, 14, 14), spacing)) == 0
    tight = fitting_spacing_mm(template, (14, 14, 14), margin_mm=0.0)
    assert share_outside(template.brain, working_grid(template, (14, 14, 14), tight)) == 0


def test_a_small_grid_tells_what_it_cuts() -> None:
    template = _template()
    grid = working_grid(template, (10, 10, 10), 1.0)
    assert share_outside(template.brain, grid) == pytest.approx(0.5)


def test_an_empty_mask_loses_nothing() -> None:
    template = _template()
    empty = Volume(np.zeros_like(template.brain.data), template.brain.grid)
    assert share_outside(empty, working_grid(template, (10, 10, 10), 1.0)) == 0
