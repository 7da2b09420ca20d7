"""Sets of available channels: all of them, a random one, and the trained one that is nearest."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations

import numpy as np

Subset = tuple[str, ...]


def all_subsets(channels: Sequence[str]) -> tuple[Subset, ...]:
    """Return the 2^n − 1 non-empty subsets, small ones first, channels in the given order."""
    return tuple(
        subset
        for size in range(1, len(channels) + 1)
        for subset in combinations(tuple(channels), size)
    )


def subset_name(subset: Subset) -> str:
    """Name a subset, such as ``T1+T2``."""
    return "+".join(subset)


def draw_subset(channels: Sequence[str], rng: np.random.Generator) -> Subset:
    """Draw one of the non-empty subsets, all equally likely (channel dropout)."""
    subsets = all_subsets(channels)
    return subsets[int(rng.integers(len(subsets)))]


def nearest_subset(subset: Subset, known: Collection[Subset]) -> Subset:
    """Return the known subset that shares most with this one, itself if it is known.

    Args:
        subset: what is available.
        known: what was trained, not empty.
    """
    wanted = set(subset)

    def likeness(other: Subset) -> float:
        return len(wanted & set(other)) / len(wanted | set(other))

    return max(known, key=likeness)
