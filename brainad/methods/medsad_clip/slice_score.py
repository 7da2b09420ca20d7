"""What the classification branch and the lesion map say about each slice, together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from brainad.encoders.slicing import highest_values

# Where certainty ends: a probability of one in a million.
_LARGEST_ODDS = 14.0


def map_odds(
    logits: NDArray[np.float32], brain: NDArray[np.bool_], axis: int, pixels: int
) -> NDArray[np.float32]:
    """Return (slices,) the log-odds that a lesion of so many pixels shows in a slice.

    It is what the most suspicious pixels of that number have in common: their smallest log-odds.

    Args:
        logits: (x, y, z) log-odds of a lesion.
        brain: (x, y, z) bool; nothing counts outside.
        axis: that slices count along.
        pixels: at least 1.
    """
    inside = np.where(brain, logits, -_LARGEST_ODDS)
    least: NDArray[np.float32] = highest_values(inside, axis, pixels)[:, 0]
    return least


def slice_scores(
    branch: NDArray[np.float32],
    indices: Sequence[int],
    drawn: NDArray[np.float32],
    map_share: float,
) -> NDArray[np.float32]:
    """Return (slices,) the probability that a slice is abnormal.

    Args:
        branch: (predicted slices,) log-odds of the classification branch, interpolated between.
        indices: of the predicted slices, ascending.
        drawn: (slices,) log-odds of the map.
        map_share: weight of the map in the mean of the log-odds; 0 leaves the branch alone.
    """
    said = np.interp(np.arange(len(drawn)), indices, branch)
    odds = (1 - map_share) * _limited(said) + map_share * _limited(drawn)
    scores: NDArray[np.float32] = expit(odds).astype(np.float32)
    return scores


def _limited(odds: NDArray[Any]) -> NDArray[Any]:
    limited: NDArray[Any] = np.clip(odds, -_LARGEST_ODDS, _LARGEST_ODDS)
    return limited
