"""Masks of a promptable segmenter, asked with boxes around pseudo masks (specification 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainad.encoders.sam import Box, Segmenter
from brainad.methods.rasalore.grey import Grey

JITTER = 20


def tight_box(weak: NDArray[np.uint8]) -> Box | None:
    """Return the box around everything above the middle of a map's range; None if nothing is.

    Args:
        weak: (rows, columns) map or mask.

    Returns:
        x_min, y_min, x_max, y_max, the last pixels included.
    """
    levels = weak.astype(np.float64)
    span = levels.max() - levels.min()
    if not span:
        return None
    ys, xs = np.nonzero((levels - levels.min()) / span > 0.5)
    return int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())


def widened(box: Box, shape: tuple[int, int], rng: np.random.RandomState) -> Box:
    """Push each side outward by 0 to 19 pixels, drawn in the order of the release.

    Args:
        box: x_min, y_min, x_max, y_max.
        shape: rows and columns, which limit the box.
        rng: of the draws: x_min, x_max, y_min, y_max.
    """
    left, right, above, below = (int(rng.randint(0, JITTER)) for _ in range(4))
    x_min, y_min, x_max, y_max = box
    rows, columns = shape
    return (
        max(x_min - left, 0),
        max(y_min - above, 0),
        min(x_max + right, columns),
        min(y_max + below, rows),
    )


def mid_range_mask(logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Cut probabilities in the middle of their own range, not at one half."""
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    smallest, largest = probabilities.min(), probabilities.max()
    mask: NDArray[np.bool_] = probabilities - smallest > 0.5 * (largest - smallest)
    return mask


def segment(segmenter: Segmenter, image: Grey, weak: Grey, seed: int) -> Grey:
    """Draw what the box around a pseudo mask holds; empty for an empty pseudo mask.

    Args:
        segmenter: promptable.
        image: (rows, columns), gamma-corrected.
        weak: the pseudo mask, on the same grid.
        seed: of the widening.

    Returns:
        (rows, columns) 0 or 255.
    """
    box = tight_box(weak)
    if box is None:
        return np.zeros_like(image)
    box = widened(box, (image.shape[0], image.shape[1]), np.random.RandomState(seed))
    drawn = mid_range_mask(segmenter.segment(image, box))
    return np.where(drawn, np.uint8(255), np.uint8(0))
