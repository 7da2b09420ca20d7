"""The published data protocol: slices, their labels and the split (specification 1.1 to 1.3)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SliceLabel = Literal[-1, 0, 1]

_MARGIN = 15
# Slices with fewer lesion pixels than this, but some, are neither healthy nor unhealthy.
FEW_PIXELS = 200


def published_slices(depth: int) -> range:
    """Return the slices of a volume that are used: all but 15 at either end."""
    return range(_MARGIN, depth - _MARGIN)


def published_label(lesion: NDArray[np.bool_], few_pixels: float = FEW_PIXELS) -> SliceLabel:
    """Return 1 (unhealthy), 0 (healthy) or -1 (left out) for a slice's lesion mask.

    Args:
        lesion: (rows, columns).
        few_pixels: a slice with more is unhealthy; with fewer, but some, it is left out.
    """
    pixels = int(np.count_nonzero(lesion))
    if pixels == 0:
        return 0
    return 1 if pixels > few_pixels else -1


def published_split(patients: Sequence[str], share: float = 0.8, seed: int = 42) -> list[str]:
    """Return the training patients: the first share of the sorted list, shuffled."""
    shuffled = sorted(patients)
    random.Random(seed).shuffle(shuffled)
    return shuffled[: int(share * len(shuffled))]
