"""Measure what a scan shows: where the head or brain is, whether the skull is off, in which space.

Everything here is measured on a thinned volume of about 3 mm voxels, which is enough for
volumes in litres and takes a fraction of a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import filters

from brainad.resampling import resample
from brainad.volume import Grid, Volume

Range = tuple[float, float]
Box = tuple[Range, Range, Range]

_VOXEL_MM = 3.0
# A skull-stripped file is constant outside the brain; noise never repeats one value so often.
_CONSTANT_SHARE = 0.15
# Newborns have 0.35 L, the largest adult brains with their sulci filled 2.1 L; heads 2 L and more.
_BRAIN_LITRES = (0.3, 2.4)
# Brightness is looked at in layers below the surface. Bone is darker than the skin outside and
# the brain inside it: ratios of 0.25 to 0.5 in heads, 0.9 and more in brains without a skull.
_LAYER_MM = 3.0
_LAYERS = 8
_BONE_RATIO = 0.7
# Measured on a real brain in its template's space: 0.94 and 0.33. Five millimetres or five
# degrees beside it, the second falls below 0.2.
_SAME_SPACE_DICE = 0.9
_SAME_SPACE_EXPLAINED = 0.25
_INTENSITY_BINS = 32


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What one scan shows.

    Args:
        foreground: bool, brain (or head, if not skull-stripped) on a thinned grid.
        fraction: share of the voxels that are foreground.
        range_mm: lowest and highest world position of the foreground per axis x, y, z.
        skull_stripped: nothing but brain is left.
        in_template_space: skull-stripped and lying where the template's brain lies.
    """

    foreground: Volume
    fraction: float
    range_mm: Box
    skull_stripped: bool
    in_template_space: bool


def measure_anatomy(image: Volume, template: Volume) -> Anatomy:
    """Find the head or brain in a scan and tell how it was prepared.

    Args:
        image: float32, finite, not constant; any grid.
        template: float32 skull-stripped template, 0 outside the brain.
    """
    thin = thinned(image)
    constant = _constant_background(thin.data)
    noisy = constant is None
    inside = thin.data > _threshold(thin.data) if noisy else thin.data != constant
    foreground = Volume(_largest_filled(inside), thin.grid)
    stripped = not noisy and _is_brain_only(thin, foreground.data)
    return Anatomy(
        foreground=foreground,
        fraction=float(foreground.data.mean()),
        range_mm=box_mm(foreground),
        skull_stripped=stripped,
        in_template_space=stripped and _is_in_space(thin, foreground, template),
    )


def thinned(volume: Volume) -> Volume:
    """Keep every n-th voxel so that the spacing is close to 3 mm; nothing is interpolated."""
    steps = [max(1, round(_VOXEL_MM / spacing)) for spacing in volume.grid.spacing_mm]
    x, y, z = steps
    data = volume.data[::x, ::y, ::z]
    affine = volume.grid.affine @ np.diag([x, y, z, 1.0])
    return Volume(data, Grid((data.shape[0], data.shape[1], data.shape[2]), affine))


def box_mm(mask: Volume) -> Box:
    """Return the lowest and highest world position of a mask's voxel centres per axis.

    An empty mask gives the range of the whole grid.
    """
    index = np.argwhere(mask.data) if mask.data.any() else np.argwhere(np.ones(mask.grid.shape))
    world = index @ mask.grid.affine[:3, :3].T + mask.grid.affine[:3, 3]
    x, y, z = ((float(axis.min()), float(axis.max())) for axis in world.T)
    return x, y, z


def _constant_background(data: NDArray[Any]) -> float | None:
    """Return the value that fills the surroundings, or None where they are noisy."""
    border = np.concatenate(
        [data.take(side, axis).ravel() for axis in range(3) for side in (0, -1)]
    )
    values, counts = np.unique(border, return_counts=True)
    value = float(values[counts.argmax()])
    return value if float((data == value).mean()) >= _CONSTANT_SHARE else None


def _threshold(data: NDArray[Any]) -> float:
    """Separate noise from tissue by minimum cross entropy (Li and Lee 1993), outliers cut."""
    low, high = np.percentile(data, (0.5, 99.0))
    return float(filters.threshold_li(np.clip(data, low, high)))


def _largest_filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest piece, close gaps of a voxel or two and fill what it encloses."""
    opened = ndimage.binary_opening(mask)
    pieces, count = ndimage.label(opened if opened.any() else mask)
    if count == 0:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    # Room at the border, or closing would eat into a brain that touches it.
    closed = ndimage.binary_closing(np.pad(pieces == sizes.argmax(), 3), iterations=2)
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(closed)[3:-3, 3:-3, 3:-3]
    return filled


def _is_brain_only(image: Volume, foreground: NDArray[np.bool_]) -> bool:
    """Tell a brain from a head by its size and by the dark layer of bone below the skin."""
    litres = foreground.sum() * image.grid.voxel_mm3 / 1e6
    fits = _BRAIN_LITRES[0] <= litres <= _BRAIN_LITRES[1]
    return bool(fits) and _darkest_layer(image, foreground) > _BONE_RATIO


def _darkest_layer(image: Volume, foreground: NDArray[np.bool_]) -> float:
    """Return how dark the darkest layer is, relative to brighter ones on both of its sides.

    Returns:
        Below 1 only if some layer is darker than what lies outside and inside of it.
    """
    padded = ndimage.distance_transform_edt(np.pad(foreground, 1), image.grid.spacing_mm)
    layer = np.ceil(padded[1:-1, 1:-1, 1:-1] / _LAYER_MM).astype(int)
    darkest = np.percentile(image.data[foreground], 1)
    profile = [
        float(np.median(image.data[layer == n]) - darkest)
        for n in range(1, _LAYERS + 1)
        if (layer == n).any()
    ]
    ratios = [
        profile[n] / max(min(max(profile[:n]), max(profile[n + 1 :])), 1e-9)
        for n in range(1, len(profile) - 1)
    ]
    return min(ratios, default=1.0)


def _is_in_space(image: Volume, foreground: Volume, template: Volume) -> bool:
    there = resample(template, image.grid).data
    both = (there > 0) & foreground.data
    dice = 2 * both.sum() / ((there > 0).sum() + foreground.data.sum())
    if dice < _SAME_SPACE_DICE:
        return False
    return _explained(image.data[both], there[both]) >= _SAME_SPACE_EXPLAINED


def _explained(values: NDArray[Any], by: NDArray[Any]) -> float:
    """Return the correlation ratio (0 to 1): variance of values that another image explains.

    Unlike a correlation it does not depend on which tissue is bright in which contrast
    (Roche et al. 1998, MICCAI, doi 10.1007/BFb0056301).
    """
    edges = np.quantile(by, np.linspace(0, 1, _INTENSITY_BINS + 1)[1:-1])
    bins = np.searchsorted(edges, by)
    counts = np.bincount(bins, minlength=_INTENSITY_BINS)
    values = values.astype(np.float64)
    means = np.bincount(bins, values, _INTENSITY_BINS) / np.maximum(counts, 1)
    total = values.var()
    if total == 0:
        return 0.0
    return float((counts * (means - values.mean()) ** 2).sum() / (values.size * total))
