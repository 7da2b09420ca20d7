"""Which slices of a block of cells are shown to the encoder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def slice_groups(patch: int, count: int, average_neighbours: bool) -> list[NDArray[np.intp]]:
    """Choose the slices of a block; each group is averaged into one encoder image.

    Without `average_neighbours` every group is one slice, and the slices are spread evenly:
    where ``count`` divides ``patch`` they lie ``s = patch / count`` apart and start at
    ``(s - 1) // 2``. With it, the block is cut into ``count`` runs of neighbouring slices.

    Args:
        patch: slices in the block, p in the paper.
        count: encoder images per block, 1 to ``patch``; ``patch`` is the paper's pooling.
        average_neighbours: average all slices of a run instead of picking one.

    Returns:
        ``count`` arrays of positions inside the block, ascending.

    Raises:
        ValueError: ``count`` is outside 1 to ``patch``.
    """
    if not 1 <= count <= patch:
        raise ValueError(f"slices per block must be 1 to {patch}, not {count}")
    if average_neighbours:
        return np.array_split(np.arange(patch), count)
    before_middle = -((2 * np.arange(count) + 1) * -patch // (2 * count)) - 1
    return np.split(before_middle, count)
