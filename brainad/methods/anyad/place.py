"""How far tokens lie from what normal slices show at the same place.

A network that rebuilds a slice from prototypes of that same slice rebuilds a large lesion too:
the lesion becomes a prototype. Cases are registered, so the usual token of a place is known, and
the distance to it is evidence of another kind. Only the shallow group is compared: what it shows
is finer, and the deep one adds little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from brainad.methods.anyad.alignment import RunningMoments
from brainad.methods.anyad.features import CaseFeatures
from brainad.methods.anyad.layout import Layout
from brainad.methods.anyad.normality import ExpectedBy, NormalDistance, UsualDistances
from brainad.methods.anyad.subsets import Subset, all_subsets, subset_name

Tokens = NDArray[np.float32]
Pair = tuple[Tokens, Tokens]
_SMALLEST = 1e-6
_MEAN, _STD, _HEIGHTS, _PLACES = "mean.", "std.", "heights.", "places."
_USUAL = "usual."


class _Source:
    """One encoded source: moments of its brain tokens, and the usual standardised token per place.

    Args:
        mean, std: (C,) of brain tokens.
        heights: (h,) slices that were seen, ascending.
        places: (h, N, C) usual tokens of these slices, 0 where nothing was seen.
    """

    def __init__(
        self, mean: Tokens, std: Tokens, heights: NDArray[np.intp], places: Tokens
    ) -> None:
        self.mean = mean
        self.std = std
        self.heights = heights
        self.places = places

    def standardised(self, case: CaseFeatures, source: Subset) -> Tokens:
        """Return (n, N, C) tokens of a case with the mean 0 and the deviation 1."""
        tokens = _shallow(case, source).astype(np.float32)
        tokens -= self.mean
        tokens /= self.std
        return tokens

    def rows(self, positions: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return (n,) the rows of `places` for slices; one that was not seen takes the nearest."""
        rows: NDArray[np.intp] = np.abs(positions[:, None] - self.heights).argmin(axis=1)
        return rows

    def beside_usual(
        self, case: CaseFeatures, source: Subset, count: NDArray[np.float32] | None = None
    ) -> Pair:
        """Return (n, N, C) tokens of a case and the usual ones of their places.

        Args:
            case: features.
            source: what to look at.
            count: (h, N) cases behind the usual tokens; given if the case is one of them, to
                leave it out.
        """
        own, rows = self.standardised(case, source), self.rows(case.positions)
        places = self.places[rows]
        if count is None:
            return own, places
        seen = count[rows][..., None]
        rest = (seen * places - own) / (seen - 1).clip(1)
        places = np.where(case.inside[..., None], rest, places)
        # Rounding leaves something of a place that this case alone has seen.
        places[case.inside & (seen[..., 0] < 2)] = 0
        return own, places


class PlaceDistances:
    """Evidence from the usual tokens of a place, for every set of channels.

    Args:
        sources: what was encoded, with the usual tokens.
        usual: the upper end of usual distances.
        layout: how sources describe a set of channels.
    """

    def __init__(
        self, sources: Mapping[Subset, _Source], usual: UsualDistances, layout: Layout
    ) -> None:
        self._sources = dict(sources)
        self._usual = usual
        self._layout = layout

    @classmethod
    def measure(
        cls,
        cases: Sequence[CaseFeatures],
        layout: Layout,
        channels: Sequence[str],
        grid_slices: int,
        by: ExpectedBy,
    ) -> Self | None:
        """Learn what is usual from normal slices; None if no two cases share a place.

        Args:
            cases: features of normal slices.
            layout: how sources describe a set of channels.
            channels: that were trained.
            grid_slices: of the working grid.
            by: see `NormalDistance.usual`.
        """
        counts: dict[Subset, NDArray[np.float32]] = {}
        sources: dict[Subset, _Source] = {}
        for source in sorted({each for case in cases for each in case.sources}):
            able = [case for case in cases if source in case.sources]
            sources[source], counts[source] = _usual_tokens(able, source)
        tokens = cases[0].inside.shape[1]
        distances = {each: NormalDistance(grid_slices, tokens) for each in all_subsets(channels)}
        for case in cases:
            # A case is not compared with itself, as a new case will not be.
            pairs = {
                each: sources[each].beside_usual(case, each, counts[each]) for each in case.sources
            }
            for subset, normal in distances.items():
                members = layout.members(subset)
                if set(members) <= set(pairs):
                    found = _distances([pairs[member] for member in members])
                    known = case.inside & ~np.isnan(found)
                    normal.add(case.positions, np.nan_to_num(found), known)
        usual = {each: normal.usual(by) for each, normal in distances.items() if normal.has_any}
        if not usual:
            return None
        # Stored in half precision; used so from the start, so that a restored model is the same.
        for each in sources.values():
            each.places = each.places.astype(np.float16).astype(np.float32)
        return cls(sources, UsualDistances(usual), layout)

    def evidence(self, case: CaseFeatures, subset: Subset) -> NDArray[np.float32]:
        """Return (n, N) distances relative to what is usual; 1 where nothing is known."""
        members = self._layout.members(subset)
        if not set(members) <= set(self._sources):
            return np.ones(case.inside.shape, dtype=np.float32)
        found = _distances([self._sources[each].beside_usual(case, each) for each in members])
        evidence = self._usual.evidence(found, case.positions, subset)
        return np.where(np.isnan(evidence), np.float32(1), evidence)

    def state_dict(self) -> dict[str, Any]:
        """Return everything as arrays; usual tokens in half precision."""
        state: dict[str, Any] = {_USUAL + k: v for k, v in self._usual.state_dict().items()}
        for source, each in self._sources.items():
            name = subset_name(source)
            state |= {_MEAN + name: each.mean, _STD + name: each.std}
            state[_HEIGHTS + name] = each.heights
            state[_PLACES + name] = each.places.astype(np.float16)
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]], layout: Layout) -> Self:
        """Restore what `state_dict` returned."""
        names = [key.removeprefix(_MEAN) for key in state if key.startswith(_MEAN)]
        sources = {
            tuple(name.split("+")): _Source(
                state[_MEAN + name],
                state[_STD + name],
                state[_HEIGHTS + name],
                state[_PLACES + name].astype(np.float32),
            )
            for name in names
        }
        usual = {k.removeprefix(_USUAL): v for k, v in state.items() if k.startswith(_USUAL)}
        return cls(sources, UsualDistances.from_state(usual), layout)


def _usual_tokens(
    cases: Sequence[CaseFeatures], source: Subset
) -> tuple[_Source, NDArray[np.float32]]:
    """Average the tokens of each place; also returns how many cases were seen, (h, N)."""
    tokens, width = cases[0].groups.shape[3:]
    moments = RunningMoments(width)
    for case in cases:
        moments.add(_shallow(case, source)[case.inside].astype(np.float32))
    found = moments.moments()
    heights = np.unique(np.concatenate([case.positions for case in cases]))
    nothing = np.zeros((heights.size, tokens, width), dtype=np.float32)
    std = np.maximum(found.std.numpy(), _SMALLEST)
    usual = _Source(found.mean.numpy(), std, heights, nothing)
    count = np.zeros((heights.size, tokens), dtype=np.float32)
    for case in cases:
        shown, rows = usual.standardised(case, source), usual.rows(case.positions)
        usual.places[rows] += np.where(case.inside[..., None], shown, 0)
        count[rows] += case.inside
    usual.places /= count.clip(1)[..., None]
    return usual, count


def _shallow(case: CaseFeatures, source: Subset) -> NDArray[np.float16]:
    return case.groups[:, case.sources.index(source), 0]


def _distances(pairs: Sequence[Pair]) -> NDArray[np.float32]:
    """Return (n, N) cosine distances of summed tokens to summed usual ones; NaN where one is 0."""
    shown, usual = (np.sum(each, axis=0) for each in zip(*pairs, strict=True))
    lengths = np.linalg.norm(shown, axis=-1) * np.linalg.norm(usual, axis=-1)
    similar = np.full(lengths.shape, np.nan, dtype=np.float32)
    np.divide((shown * usual).sum(axis=-1), lengths, out=similar, where=lengths > 0)
    return 1 - similar
