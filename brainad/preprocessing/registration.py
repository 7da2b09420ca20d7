"""Align one scan to another: several starts, then rigid or affine mutual information.

The similarity is the mutual information of Mattes et al. (2003), IEEE Transactions on Medical
Imaging 22, 120-128, as SimpleITK computes it. Its physical space is our RAS+ world throughout,
so no axis changes its sign on the way in or out.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from brainad.preprocessing.pyramid import UNIT_MM, Scan, itk_image
from brainad.resampling import resample
from brainad.volume import Volume

Freedom = Literal["rigid", "affine"]
Matrix = NDArray[np.float64]

# Below either of these the first result is not trusted and the search starts again from more
# poses. Right ones reached 0.95 and 0.8 on T1 and T2, with lesions and thick slices; the best
# wrong one 0.93 and 0.44. A needless restart costs seconds, because the better result stays.
_TRUSTED_OVERLAP = 0.95
_TRUSTED_SIMILARITY = 0.6

# Voxel edges of the pyramid: poses are tried on the first, the result is as fine as the last.
_LEVELS_MM = (8.0, 4.0, 2.0)
_FIRST_STEP_VOXELS = 0.5
_SMALLEST_STEP_MM = 0.01
_RELAXATION = 0.7
_ITERATIONS = 80
_REFINED_STARTS = 3
_START_DEGREES = 20
_BINS = 32
# The rim between brain and background says most about size and place, so it is compared too.
_RIM_MM = 8.0
# Room around the moving brain: samples that leave the image would be dropped, not counted.
_MARGIN_MM = 40.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Registration:
    """Where one scan lies in another.

    Args:
        moving_from_fixed: (4, 4) world mm of the fixed to world mm of the moving scan, as
            `resample(moving, fixed.grid, source_from_target=...)` wants it.
        similarity: mutual information in nats in and around the fixed brain, 0 or more.
        overlap: Dice of the two brains, 0 to 1; None without a moving brain.
        restarted: whether the first search was poor and more starts were tried.
    """

    moving_from_fixed: Matrix
    similarity: float
    overlap: float | None
    restarted: bool


def register(moving: Scan, fixed: Scan, freedom: Freedom = "affine") -> Registration:
    """Find the rigid or affine transform that lays a moving scan on a fixed one.

    Deterministic: every voxel of the region is compared, in one work unit, so that two runs
    give the same bytes.

    Args:
        moving: the scan to be placed, any grid and orientation. With its brain, everything
            else counts as 0 in both images and the result is checked by the overlap; without
            it the surroundings take part as they are.
        fixed: the reference or template, with its brain.
        freedom: `rigid` (6 parameters) or `affine` (12).

    Raises:
        DataError: a brain is empty or an image is constant, so nothing can be aligned.
    """
    levels = _levels(moving, fixed)
    result = _search(levels, _starts(moving, fixed, freedom, _near_rotations()), freedom)
    found = _described(result, levels, moving, fixed, restarted=False)
    if _is_trusted(found):
        return found
    logger.info("restarting: similarity %.3f, overlap %s", found.similarity, found.overlap)
    result = _search(levels, _starts(moving, fixed, freedom, _all_rotations()), freedom)
    again = _described(result, levels, moving, fixed, restarted=True)
    return max(found, again, key=lambda registration: registration.similarity)


def _is_trusted(found: Registration) -> bool:
    overlaps = found.overlap is None or found.overlap >= _TRUSTED_OVERLAP
    return overlaps and found.similarity >= _TRUSTED_SIMILARITY


@dataclass(frozen=True, eq=False)
class _Level:
    """Both images at one resolution, and the region of the fixed one where they are compared."""

    spacing_mm: float
    fixed: Any
    moving: Any
    region: Any

    def _method(self, transform: Any) -> Any:
        method = sitk.ImageRegistrationMethod()
        # Sums of several work units differ in their last digits from run to run.
        method.SetNumberOfWorkUnits(1)
        method.SetMetricAsMattesMutualInformation(_BINS)
        method.SetMetricFixedMask(self.region)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetInitialTransform(transform, inPlace=False)
        return method

    def similarity(self, transform: Any) -> float:
        return -float(self._method(transform).MetricEvaluate(self.fixed, self.moving))

    def refined(self, transform: Any) -> Any:
        """Return a copy of the transform moved to a nearby maximum of the similarity."""
        method = self._method(transform)
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=_FIRST_STEP_VOXELS * self.spacing_mm / UNIT_MM,
            minStep=_SMALLEST_STEP_MM / UNIT_MM,
            numberOfIterations=_ITERATIONS,
            relaxationFactor=_RELAXATION,
        )
        result = type(transform)(transform)
        result.SetParameters(method.Execute(self.fixed, self.moving).GetParameters())
        return result


def _levels(moving: Scan, fixed: Scan) -> list[_Level]:
    """Build the pyramid, coarse to fine."""
    assert fixed.brain is not None
    fixed_image = fixed if moving.brain is not None else Scan(fixed.image, None)
    levels = []
    for spacing in _LEVELS_MM:
        coarse = fixed_image.coarse(spacing, _RIM_MM)
        region = _near(resample(fixed.brain, coarse.grid), _RIM_MM)
        images = (itk_image(v) for v in (coarse, moving.coarse(spacing, _MARGIN_MM), region))
        levels.append(_Level(spacing, *images))
    return levels


def _near(mask: Volume, distance_mm: float) -> Volume:
    distance = ndimage.distance_transform_edt(~mask.data, sampling=mask.grid.spacing_mm)
    return Volume(distance <= distance_mm, mask.grid)


def _near_rotations() -> Iterator[Rotation]:
    """Yield 27 rotations about the three axes, as heads lie in scanners."""
    for angles in itertools.product((0, -_START_DEGREES, _START_DEGREES), repeat=3):
        yield Rotation.from_euler("xyz", angles, degrees=True)


def _all_rotations() -> Iterator[Rotation]:
    """Yield 7 rotations in each of the 24 axis-aligned poses, as wrong headers turn heads."""
    tilts = np.radians(_START_DEGREES) * np.vstack([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    for pose, tilt in itertools.product(Rotation.create_group("O"), tilts):
        yield Rotation.from_rotvec(tilt) * pose


def _starts(
    moving: Scan, fixed: Scan, freedom: Freedom, rotations: Iterator[Rotation]
) -> Iterator[Any]:
    """Yield similarity or Euler transforms that lay centre on centre, or keep the world."""
    centre = fixed.centre_mm()
    shifts = [moving.centre_mm() - centre]
    scale = 1.0
    if moving.brain is None:
        shifts.append(np.zeros(3))
    elif freedom == "affine":
        scale = float(np.cbrt(moving.brain_mm3() / fixed.brain_mm3()))
    for rotation, shift in itertools.product(rotations, shifts):
        start: Any
        start = sitk.Similarity3DTransform() if freedom == "affine" else sitk.Euler3DTransform()
        start.SetCenter((centre / UNIT_MM).tolist())
        start.SetMatrix((scale * rotation.as_matrix()).ravel().tolist())
        start.SetTranslation((shift / UNIT_MM).tolist())
        yield start


def _search(levels: Sequence[_Level], starts: Iterator[Any], freedom: Freedom) -> Any:
    """Refine the most promising starts on the coarsest level and the winner on all others."""
    coarsest = levels[0]
    ranked = sorted(starts, key=coarsest.similarity, reverse=True)[:_REFINED_STARTS]
    best = max((coarsest.refined(start) for start in ranked), key=coarsest.similarity)
    if freedom == "affine":
        similar = best
        best = sitk.AffineTransform(3)
        best.SetCenter(similar.GetCenter())
        best.SetMatrix(similar.GetMatrix())
        best.SetTranslation(similar.GetTranslation())
    for level in levels:
        best = level.refined(best)
    return best


def _described(
    transform: Any, levels: Sequence[_Level], moving: Scan, fixed: Scan, restarted: bool
) -> Registration:
    matrix = _world_matrix(transform)
    overlap = None
    if moving.brain is not None and fixed.brain is not None:
        overlap = _overlap(moving.brain, fixed.brain, matrix)
    return Registration(matrix, levels[-1].similarity(transform), overlap, restarted)


def _world_matrix(transform: Any) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(transform.GetMatrix(), (3, 3))
    matrix[:3, 3] = UNIT_MM * np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    return matrix


def _overlap(moving: Volume, fixed: Volume, moving_from_fixed: Matrix) -> float:
    """Return the Dice of two brains; the moving one may reach beyond the fixed grid."""
    placed = resample(moving, fixed.grid, source_from_target=moving_from_fixed)
    common = float((placed.data & fixed.data).sum()) * fixed.grid.voxel_mm3
    scale = abs(float(np.linalg.det(moving_from_fixed[:3, :3])))
    moving_mm3 = float(moving.data.sum()) * moving.grid.voxel_mm3 / scale
    fixed_mm3 = float(fixed.data.sum()) * fixed.grid.voxel_mm3
    return 2 * common / (moving_mm3 + fixed_mm3)
