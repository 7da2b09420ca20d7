"""The mutual score: how far a token is from its nearest volumes (CoDeGraph3D, section 3.1)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
"""Part of the sorted distances that is averaged; bounds below 1 are shares of the other
volumes, bounds from 1 on are numbers of volumes."""


def rank_range(others: int, interval: Interval) -> tuple[int, int]:
    """Resolve an interval to ranks: average the sorted distances first, ..., last - 1.

    At least one rank is always left (the published code returns NaN for tiny cohorts).

    Args:
        others: number of other volumes.
        interval: the two bounds, in any order.

    Returns:
        First rank (from 0) and past-the-last rank.
    """
    low, high = (
        math.floor(bound * others + 1e-9) if bound < 1 else int(bound) for bound in sorted(interval)
    )
    last = max(1, min(others, high))
    return min(low, last - 1), last


def mutual_scores(table: NDArray[np.float32], ranks: tuple[int, int]) -> NDArray[np.float64]:
    """Average each token's smallest distances over a range of ranks.

    Where fewer volumes are available than the range asks for, the available ones are averaged.

    Args:
        table: (T, B) distances to the volumes; inf where there is none.
        ranks: first and past-the-last rank, see `rank_range`.

    Returns:
        (T,) float64; NaN for a token without any available volume.
    """
    first, last = ranks
    if last < table.shape[1]:
        table = np.partition(table, last - 1, axis=1)[:, :last]
    nearest = np.sort(table, axis=1).astype(np.float64)
    available = np.isfinite(nearest).sum(1, keepdims=True)
    rank = np.arange(nearest.shape[1])
    inside = (rank >= np.minimum(first, available - 1)) & (rank < np.minimum(last, available))
    total = np.where(inside, nearest, 0).sum(1)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = total / inside.sum(1)
    return mean
