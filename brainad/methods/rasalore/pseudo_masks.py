"""From attention to pseudo masks (specification 2.7, 10.7)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.measure import label
from torch import Tensor

from brainad.methods.rasalore.grey import Grey

# A patch whose token is this many median deviations longer than usual carries no local meaning.
_OUTLIER_DEVIATIONS = 4.0
# Added to every spread, as a share of the mean one: few healthy slices may agree by chance.
_LEAST_SPREAD = 0.5
_SMALLEST_SPREAD = 1e-12


class UsualMaps:
    """What maps of healthy slices look like at a height.

    Unhealthy slices are more frequent at some heights of the brain than at others, so an encoder
    that tells both kinds apart also looks at what tells the height. Healthy slices of the same
    height show that too.

    Args:
        maps: (n, rows, columns) of healthy slices.
        heights: (n,) of these slices in mm.
        reach: standard deviation in mm of the weight of slices at another height.
    """

    def __init__(
        self, maps: NDArray[np.float32], heights: NDArray[np.float64], reach: float
    ) -> None:
        self._maps = maps
        self._heights = heights
        self._reach = reach
        self._least = max(_LEAST_SPREAD * float(maps.std(axis=0).mean()), _SMALLEST_SPREAD)

    def deviations(
        self, maps: NDArray[np.float32], heights: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Return how many deviations each patch lies above its usual value.

        Args:
            maps: (m, rows, columns).
            heights: (m,) of their slices in mm.
        """
        # Thousands of slices share some hundred heights.
        different, place = np.unique(heights, return_inverse=True)
        weights = _nearness(different, self._heights, self._reach)
        mean = np.tensordot(weights, self._maps, axes=1)
        squares = np.tensordot(weights, self._maps.astype(np.float64) ** 2, axes=1)
        spread = np.sqrt((squares - mean**2).clip(0)) + self._least
        deviations: NDArray[np.float32] = ((maps - mean[place]) / spread[place]).astype(np.float32)
        return deviations


def _nearness(
    heights: NDArray[np.float64], others: NDArray[np.float64], reach: float
) -> NDArray[np.float64]:
    """Return Gaussian weights (m, n) of other heights, whose sum is 1 for each of m heights."""
    distance = ((heights[:, None] - others) / reach) ** 2 / 2
    # The nearest always counts, however far away it is.
    weights = np.exp(distance.min(axis=1, keepdims=True) - distance)
    result: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return result


def through_plane(
    maps: NDArray[np.float32],
    cases: NDArray[np.intp],
    heights: NDArray[np.float64],
    reach: float,
) -> NDArray[np.float32]:
    """Average maps over the unhealthy slices of each case (specification 10.6).

    A lesion goes on in the neighbouring slices, what a single slice misleads to does not.

    Args:
        maps: (n, rows, columns) of unhealthy slices.
        cases: (n,) case of each.
        heights: (n,) of each in mm.
        reach: standard deviation of the weights in mm.
    """
    averaged = np.empty_like(maps)
    for case in np.unique(cases):
        own = cases == case
        averaged[own] = np.tensordot(_nearness(heights[own], heights[own], reach), maps[own], 1)
    return averaged


def attention_maps(attention: Tensor, size: int, smoothing: float) -> Tensor:
    """Turn rows of attention into maps from 0 to 1.

    Args:
        attention: (n, rows, columns) attention that the class token pays to each patch.
        size: longer edge of the maps in pixels.
        smoothing: standard deviation in patches; 0 for none.

    Returns:
        (n, height, width); the largest value of each map is 1.
    """
    if smoothing:
        planes = ndimage.gaussian_filter(attention.numpy(), (0, smoothing, smoothing))
        attention = torch.from_numpy(planes)
    rows, columns = attention.shape[1:]
    zoom = size / max(rows, columns)
    target = (round(rows * zoom), round(columns * zoom))
    large = F.interpolate(attention[:, None], target, mode="bicubic", align_corners=False)[:, 0]
    positive = large.clamp(min=0)
    largest = positive.amax((1, 2), keepdim=True)
    return positive / torch.where(largest > 0, largest, 1)


def released_map(attention: NDArray[np.float32], size: int) -> Grey:
    """Return the eight-bit map of the release, which truncates before it upsamples.

    Args:
        attention: (rows, columns), of one slice.
        size: edge of the map in pixels.
    """
    small = np.trunc(255 * attention).astype(np.uint8)
    large = np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC))
    levels: Grey = np.trunc(255 * (large / large.max())).astype(np.uint8)
    return levels


def without_outliers(attention: Tensor, lengths: Tensor) -> Tensor:
    """Replace the attention to patches whose tokens are too long by that to their neighbours.

    Vision transformers without registers park global information in such tokens.

    Args:
        attention: (n, rows, columns).
        lengths: (n, rows, columns) norms of the patch tokens.

    Returns:
        (n, rows, columns).
    """
    middle = lengths.flatten(1).median(1).values[:, None, None]
    deviation = (lengths - middle).abs().flatten(1).median(1).values[:, None, None]
    outlying = lengths > middle + _OUTLIER_DEVIATIONS * deviation
    medians = ndimage.median_filter(attention.numpy(), (1, 3, 3), mode="nearest")
    return torch.where(outlying, torch.from_numpy(medians), attention)


def cleaned(
    mask: NDArray[np.bool_], brain: NDArray[np.bool_] | None, smallest: int
) -> NDArray[np.bool_]:
    """Clean a pseudo mask up.

    Args:
        mask: (rows, columns).
        brain: keep what lies inside; None keeps everything.
        smallest: pixels of a component that is kept; 0 keeps all.
    """
    inside = mask if brain is None else mask & brain
    if smallest < 2:
        return inside
    components = label(inside, connectivity=2)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    kept: NDArray[np.bool_] = (sizes >= smallest)[components]
    return kept
