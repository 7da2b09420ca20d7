"""How far tokens lie from what normal slices show at the same place.

A network that rebuilds a slice from prototypes of that same slice rebuilds a large lesion too:
the lesion becomes a prototype. Cases are registered, so the usual token of a place is known, and
the distance to it is evidence of another kind. Only the shallow group is compared: what it shows
is finer, and the deep one adds little. Channels are compared one by one and averaged: in a sum of
tokens, a channel that shows nothing hides what another one shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from brainad.methods.anyad.alignment import RunningMoments
from brainad.methods.anyad.features import CaseFeatures
from brainad.methods.anyad.layout import Layout
from brainad.methods.anyad.normality import DEVIATIONS, ExpectedBy, NormalDistance
from brainad.methods.anyad.subsets import Subset, subset_name

Tokens = NDArray[np.float32]
_SMALLEST = 1e-6
# The mean evidence of normal tokens: that of the upper half of a normal distribution.
_NEUTRAL = 1 / math.sqrt(2 * math.pi) / DEVIATIONS


@dataclass(frozen=True, eq=False)
class _Standard:
    """Moments of the brain tokens of one source.

    Args:
        mean, std: (C,).
    """

    mean: Tokens
    std: Tokens

    @classmethod
    def measure(cls, cases: Sequence[CaseFeatures], source: Subset) -> Self:
        moments = RunningMoments(cases[0].groups.shape[-1])
        for case in cases:
            moments.add(_shallow(case, source)[case.inside].astype(np.float32))
        found = moments.moments()
        return cls(found.mean.numpy(), np.maximum(found.std.numpy(), _SMALLEST))

    def apply(self, case: CaseFeatures, source: Subset) -> Tokens:
        """Return (n, N, C) tokens of a case with the mean 0 and the deviation 1."""
        tokens = _shallow(case, source).astype(np.float32)
        tokens -= self.mean
        tokens /= self.std
        return tokens


@dataclass(frozen=True, eq=False)
class _UsualTokens:
    """What normal slices show in one source, place by place.

    Args:
        mean, std: (C,) of all brain tokens, to standardise with.
        heights: (h,) slices that were seen, ascending.
        places: (h, N, C) float16 usual standardised tokens of these slices, 0 where nothing was
            seen. Half precision from the start, so that a restored model is the same.
        distance: (slices, N) of normal tokens to the usual one, on average.
        spread: (slices, N) standard deviation of that.
    """

    mean: Tokens
    std: Tokens
    heights: NDArray[np.intp]
    places: NDArray[np.float16]
    distance: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def measure(
        cls, cases: Sequence[CaseFeatures], source: Subset, grid_slices: int, by: ExpectedBy
    ) -> Self | None:
        """Learn from normal slices that have the source; None if no two cases share a place."""
        standard = _Standard.measure(cases, source)
        heights = np.unique(np.concatenate([case.positions for case in cases]))
        tokens, width = cases[0].groups.shape[3:]
        total = np.zeros((heights.size, tokens, width), dtype=np.float32)
        count = np.zeros((heights.size, tokens, 1), dtype=np.float32)
        for case in cases:
            rows, inside = np.searchsorted(heights, case.positions), case.inside[..., None]
            total[rows] += np.where(inside, standard.apply(case, source), 0)
            count[rows] += inside
        normal = NormalDistance(grid_slices, tokens)
        for case in cases:
            # A case is not compared with itself, as a new case will not be.
            own, rows = standard.apply(case, source), np.searchsorted(heights, case.positions)
            others = count[rows] - 1
            rest = np.where(others > 0, total[rows] - own, 0)
            found = _cosine_distance(own, rest)
            known = case.inside & ~np.isnan(found)
            normal.add(case.positions, np.nan_to_num(found), known)
        if not normal.has_any:
            return None
        places = (total / count.clip(1)).astype(np.float16)
        moments = normal.moments(by)
        return cls(standard.mean, standard.std, heights, places, *moments)

    def evidence(self, case: CaseFeatures, source: Subset) -> NDArray[np.float32]:
        """Return (n, N) deviations above the usual distance; NaN where nothing is known."""
        rows = np.abs(case.positions[:, None] - self.heights).argmin(axis=1)
        own = _Standard(self.mean, self.std).apply(case, source)
        found = _cosine_distance(own, self.places[rows].astype(np.float32))
        above = (found - self.distance[case.positions]).clip(0)
        evidence: NDArray[np.float32] = above / (DEVIATIONS * self.spread[case.positions])
        return evidence


class PlaceDistances:
    """Evidence from the usual tokens of a place, for every set of channels.

    Args:
        sources: what is usual, per source that was encoded.
        layout: how sources describe a set of channels.
    """

    def __init__(self, sources: Mapping[Subset, _UsualTokens], layout: Layout) -> None:
        self._sources = dict(sources)
        self._layout = layout

    @classmethod
    def measure(
        cls, cases: Sequence[CaseFeatures], layout: Layout, grid_slices: int, by: ExpectedBy
    ) -> Self | None:
        """Learn what is usual from normal slices; None if no two cases share a place.

        Args:
            cases: features of normal slices.
            layout: how sources describe a set of channels.
            grid_slices: of the working grid.
            by: see `NormalDistance.moments`.
        """
        sources = {}
        for source in sorted({each for case in cases for each in case.sources}):
            able = [case for case in cases if source in case.sources]
            usual = _UsualTokens.measure(able, source, grid_slices, by)
            if usual is not None:
                sources[source] = usual
        return cls(sources, layout) if sources else None

    def evidence(self, case: CaseFeatures, subset: Subset) -> NDArray[np.float32]:
        """Return (n, N) evidence, the mean over the sources of a set of channels.

        It is 0 up to the usual distance, 1 two deviations above it, and what normal tokens have
        on average where nothing is known.
        """
        members = [each for each in self._layout.members(subset) if each in self._sources]
        if not members:
            return np.full(case.inside.shape, _NEUTRAL, dtype=np.float32)
        found = [self._sources[each].evidence(case, each) for each in members]
        mean = np.mean(found, axis=0)
        return np.where(np.isnan(mean), np.float32(_NEUTRAL), mean)

    def state_dict(self) -> dict[str, Any]:
        """Return everything as arrays."""
        return {
            f"{field.name}.{subset_name(source)}": getattr(usual, field.name)
            for source, usual in self._sources.items()
            for field in fields(usual)
        }

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]], layout: Layout) -> Self:
        """Restore what `state_dict` returned."""
        tables: dict[str, dict[str, NDArray[Any]]] = {}
        for key, array in state.items():
            field, name = key.split(".", 1)
            tables.setdefault(name, {})[field] = array
        sources = {tuple(name.split("+")): _UsualTokens(**each) for name, each in tables.items()}
        return cls(sources, layout)


def _shallow(case: CaseFeatures, source: Subset) -> NDArray[np.float16]:
    return case.groups[:, case.sources.index(source), 0]


def _cosine_distance(shown: Tokens, usual: Tokens) -> NDArray[np.float32]:
    """Return (n, N) cosine distances of tokens (n, N, C); NaN where one of them is 0."""
    lengths = np.linalg.norm(shown, axis=-1) * np.linalg.norm(usual, axis=-1)
    similar = np.full(lengths.shape, np.nan, dtype=np.float32)
    np.divide((shown * usual).sum(axis=-1), lengths, out=similar, where=lengths > 0)
    return 1 - similar
