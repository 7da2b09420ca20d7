"""Cut encoder-sized slices out of a volume, and put slice maps back into one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from brainad.volume import Shape


@dataclass(frozen=True)
class SliceFrame:
    """How slices of one working grid are shown to an encoder, and the way back.

    The whole slice is shown, resized so that pixels are square to within half a patch: nothing
    is cropped, and the padding of the working grid is the only margin.

    Args:
        shape: of the volume along x, y, z.
        axis: axis that slices count along.
        height: of an encoder image in pixels.
        width: of an encoder image in pixels.
    """

    shape: Shape
    axis: int
    height: int
    width: int

    @classmethod
    def fitting(cls, shape: Shape, axis: int, longest: int, patch: int) -> SliceFrame:
        """Choose the image size whose longer edge has `longest` pixels, in whole patches.

        Raises:
            ValueError: `longest` is not a multiple of the patch.
        """
        if longest % patch:
            raise ValueError(f"{longest} pixels are not a multiple of the patch, {patch}")
        rows, columns = (size for number, size in enumerate(shape) if number != axis)
        zoom = longest / max(rows, columns)
        height, width = (max(round(n * zoom / patch), 1) * patch for n in (rows, columns))
        return cls(shape, axis, height, width)

    @property
    def plane(self) -> tuple[int, int]:
        """Voxels of a slice: the two axes that remain, in their order."""
        rows, columns = (size for number, size in enumerate(self.shape) if number != self.axis)
        return rows, columns

    def cut(self, volume: NDArray[np.float32], indices: Sequence[int]) -> Tensor:
        """Cut slices out of a volume.

        Args:
            volume: (x, y, z) float32.
            indices: along the slice axis.

        Returns:
            (n, height, width) float32 on the CPU, bilinear.
        """
        planes = np.moveaxis(volume, self.axis, 0)[list(indices)]
        slices = torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32))
        return resized(slices, (self.height, self.width))

    def put_back(self, maps: Tensor, indices: Sequence[int]) -> NDArray[np.float32]:
        """Put slice maps back; slices in between are interpolated, those beyond take the nearest.

        Args:
            maps: (n, h, w) of any size, one per index.
            indices: ascending, along the slice axis.

        Returns:
            (x, y, z) float32.
        """
        planes = resized(maps.float().cpu(), self.plane).numpy()
        positions = np.arange(self.shape[self.axis])
        upper = np.searchsorted(indices, positions).clip(0, len(indices) - 1)
        lower = (upper - 1).clip(0)
        known = np.asarray(indices, dtype=np.float32)
        gap = np.maximum(known[upper] - known[lower], 1)
        share = ((positions - known[lower]) / gap).clip(0, 1).astype(np.float32)[:, None, None]
        volume = (1 - share) * planes[lower] + share * planes[upper]
        return np.ascontiguousarray(np.moveaxis(volume, 0, self.axis), dtype=np.float32)


def resized(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (n, h, w) bilinearly, pixel centres aligned; shrinking averages what it skips."""
    if planes.shape[1:] == size:
        return planes
    shrinking = size[0] < planes.shape[1] or size[1] < planes.shape[2]
    result: Tensor = F.interpolate(
        planes[:, None], size, mode="bilinear", align_corners=False, antialias=shrinking
    )
    return result[:, 0]


def filled_slices(brain: NDArray[np.bool_], axis: int, least_share: float) -> NDArray[np.intp]:
    """Return the slices with at least a share of the brain area of the fullest slice.

    Args:
        brain: (x, y, z) bool.
        axis: that slices count along.
        least_share: 0…1; a slice without brain is never returned.
    """
    area = np.asarray(brain).sum(axis=tuple({0, 1, 2} - {axis}))
    return np.flatnonzero((area > 0) & (area >= least_share * area.max()))


def highest_values(volume: NDArray[Any], axis: int, count: int) -> NDArray[Any]:
    """Return the highest values of every slice, the lowest of them first, the others unsorted.

    Args:
        volume: (x, y, z).
        axis: axis that slices count along.
        count: 1 to the pixels of a slice.

    Returns:
        (slices, count).
    """
    planes = np.moveaxis(volume, axis, 0).reshape(volume.shape[axis], -1)
    highest: NDArray[Any] = np.partition(planes, -count, axis=1)[:, -count:]
    return highest


def pixel_mm2(spacing_mm: Sequence[float], axis: int) -> float:
    """Return the area of a pixel of slices that count along an axis."""
    return math.prod(edge for number, edge in enumerate(spacing_mm) if number != axis)
