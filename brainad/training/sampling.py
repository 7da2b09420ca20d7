"""Which examples an epoch looks at, in which batches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shuffled_batches(count: int, size: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Deal the numbers 0 … count − 1 into batches in random order.

    An incomplete last batch is left out, unless it is the only one.

    Args:
        count: number of examples.
        size: examples per batch.
        rng: of the epoch.
    """
    order = rng.permutation(count)
    whole = max(count // size, 1)
    return [order[number * size : (number + 1) * size] for number in range(whole)]


def spread_over(count: int, wanted: int) -> NDArray[np.intp]:
    """Choose at most `wanted` of the numbers 0 … count − 1, evenly spread and ascending."""
    if count <= wanted:
        return np.arange(count)
    positions: NDArray[np.intp] = np.floor((np.arange(wanted) + 0.5) * count / wanted).astype(
        np.intp
    )
    return positions
