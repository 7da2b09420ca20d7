"""Eight-bit slices as the stage-2 loader makes them (specification 1.1, 1.4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grey = NDArray[np.uint8]
_TINY = 1e-8


def full_range(slice_: NDArray[np.floating]) -> Grey:
    """Scale a slice from its smallest to its largest value, as the published export does."""
    smallest, largest = slice_.min(), slice_.max()
    scaled: Grey = np.trunc(255 * (slice_ - smallest) / (largest - smallest + _TINY)).astype(
        np.uint8
    )
    return scaled


def fixed_range(slices: NDArray[np.float32]) -> Grey:
    """Scale values 0 … 1 to 0 … 255; what lies beyond is clipped."""
    levels: Grey = np.trunc(255 * slices.clip(0, 1)).astype(np.uint8)
    return levels


def gamma_corrected(slice_: Grey) -> Grey:
    """Return trunc(255 (u / 255)²); values below 16 become 0."""
    share = slice_.astype(np.float32) / np.float32(255)
    return np.trunc(np.float32(255) * share * share).astype(np.uint8)


def resize(slice_: Grey, height: int, width: int) -> Grey:
    """Resize bilinearly with Pillow: antialiased when shrinking, rounded to eight bits."""
    return np.asarray(Image.fromarray(slice_).resize((width, height), Image.Resampling.BILINEAR))
