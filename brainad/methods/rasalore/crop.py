"""The window around the brain that stage 2 sees, and the way back (specification 1.4, 10.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from brainad.methods.rasalore.grey import Grey, resize

# A brain section smaller than this is shown with its surroundings.
SMALLEST = 64


@dataclass(frozen=True)
class Window:
    """A half-open window of a slice; it may reach beyond the slice.

    Args:
        top: first row.
        left: first column.
        bottom: row after the last.
        right: column after the last.
    """

    top: int
    left: int
    bottom: int
    right: int

    def cut(self, slice_: Grey, size: int) -> Grey:
        """Cut the window out, 0 beyond the slice, and resize it to (size, size)."""
        height, width = slice_.shape
        margins = (
            (max(-self.top, 0), max(self.bottom - height, 0)),
            (max(-self.left, 0), max(self.right - width, 0)),
        )
        padded = np.pad(slice_, margins)
        top, left = self.top + margins[0][0], self.left + margins[1][0]
        part = padded[top : top + self.bottom - self.top, left : left + self.right - self.left]
        return resize(np.ascontiguousarray(part), size, size)

    def put_back(self, picture: Tensor, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Resize a (size, size) map to the window and put it into a slice of zeros.

        Args:
            picture: float, in the frame of the window.
            shape: rows and columns of the slice.
        """
        height, width = self.bottom - self.top, self.right - self.left
        shrinking = height < picture.shape[0] or width < picture.shape[1]
        part = F.interpolate(
            picture[None, None].float(),
            (height, width),
            mode="bilinear",
            align_corners=False,
            antialias=shrinking,
        )[0, 0]
        result = torch.zeros(shape)
        rows = slice(max(self.top, 0), min(self.bottom, shape[0]))
        columns = slice(max(self.left, 0), min(self.right, shape[1]))
        result[rows, columns] = part[
            rows.start - self.top : rows.stop - self.top,
            columns.start - self.left : columns.stop - self.left,
        ]
        return result.numpy()


def brain_window(slice_: Grey) -> Window:
    """Return the window around everything that is not 0, at least 64 pixels on each side.

    Args:
        slice_: gamma-corrected; not empty.
    """
    filled = slice_ > 0
    spans = []
    for axis in (1, 0):
        places = np.flatnonzero(filled.any(axis))
        start, stop = int(places[0]), int(places[-1]) + 1
        missing = max(SMALLEST - (stop - start), 0)
        start -= missing // 2
        spans.append((start, max(stop, start + SMALLEST) if missing else stop))
    (top, bottom), (left, right) = spans
    return Window(top, left, bottom, right)


def released_window(slice_: Grey) -> Window:
    """Return the window of the release, which loses the last row and column.

    Where one side is small, both become about 64 pixels, which cuts the longer one.
    """
    filled = slice_ > 0
    rows, columns = (np.flatnonzero(filled.any(axis)) for axis in (1, 0))
    top, bottom = int(rows[0]), int(rows[-1])
    left, right = int(columns[0]), int(columns[-1])
    if rows.size >= SMALLEST and columns.size >= SMALLEST:
        return Window(top, left, bottom, right)
    above = SMALLEST // 2 - (bottom - top) // 2
    beside = SMALLEST // 2 - (right - left) // 2
    return Window(top - above, left - beside, bottom + above, right + beside)
