"""The anatomy that every case is laid on: MNI152, or any skull-stripped NIfTI file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.errors import DataError, UsageError
from brainad.nifti import read_volume
from brainad.preprocessing.brain_mask import nonzero_brain
from brainad.preprocessing.pyramid import Scan
from brainad.resampling import ras_grid, resample
from brainad.volume import Grid, Volume

MNI152 = "mni152"


@dataclass(frozen=True, eq=False)
class Template:
    """A skull-stripped average or single brain in RAS orientation.

    Args:
        name: `mni152` or the path it was read from.
        image: float32, 0 outside the brain.
        brain: bool, on the same grid.
    """

    name: str
    image: Volume
    brain: Volume

    @property
    def scan(self) -> Scan:
        """The template as the fixed side of a registration."""
        return Scan(self.image, self.brain)

    def box_mm(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lowest and highest world position (3,) that the brain's voxels fill."""
        index = np.argwhere(self.brain.data)
        affine = self.brain.grid.affine
        centres = index @ affine[:3, :3].T + affine[:3, 3]
        half_voxel = np.abs(affine[:3, :3]).sum(axis=1) / 2
        return centres.min(axis=0) - half_voxel, centres.max(axis=0) + half_voxel


@lru_cache(maxsize=2)
def load_template(name: str) -> Template:
    """Load a template, its arrays read-only because all callers share them.

    Args:
        name: `mni152` (1 mm, ICBM 2009a nonlinear symmetric, as distributed with nilearn) or
            the path of a skull-stripped NIfTI file such as SRI-24, whose brain is where it is
            not 0.

    Raises:
        UsageError: neither the name of a template nor a readable NIfTI file with a brain.
    """
    if name == MNI152:
        image, brain = _mni152()
    else:
        image, brain = _from_file(Path(name))
    stripped = np.where(brain.data, image.data, np.float32(0))
    stripped.flags.writeable = False
    brain.data.flags.writeable = False
    return Template(name, Volume(stripped, image.grid), brain)


def _mni152() -> tuple[Volume, Volume]:
    # nilearn brings scikit-learn along: seconds that only registration should cost.
    from nilearn.datasets import (  # noqa: PLC0415
        load_mni152_brain_mask,
        load_mni152_template,
    )

    image = _volume(load_mni152_template(resolution=1))
    mask = _volume(load_mni152_brain_mask(resolution=1))
    return image, Volume(mask.data > 0, mask.grid)


def _volume(image: Any) -> Volume:
    return Volume(image.get_fdata(dtype=np.float32), Grid(image.shape, image.affine))


def _from_file(path: Path) -> tuple[Volume, Volume]:
    try:
        stored = read_volume(path)
        image = resample(stored, ras_grid(stored.grid))
        return image, nonzero_brain(image)
    except DataError as error:
        raise UsageError(
            f"the template cannot be used: {error.what}",
            str(path),
            f"give {MNI152!r} or the path of a skull-stripped NIfTI file",
        ) from error
