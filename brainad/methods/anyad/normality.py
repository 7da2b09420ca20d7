"""How far tokens of normal slices lie from their reconstruction, by place and set of channels.

Cortex, skull base and the ends of the brain are rebuilt worse than the rest, and one channel
worse than three. Evidence is therefore the distance relative to what is usual there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from brainad.methods.anyad.subsets import Subset, nearest_subset, subset_name

ExpectedBy = Literal["nothing", "height", "place"]
# A place is believed as much as the whole slice once this many cases were seen there.
_PRIOR_CASES = 4.0
# Evidence is 1 at the upper end of what is usual: mean plus this many deviations.
DEVIATIONS = 2.0
_SMALLEST = 1e-6


class NormalDistance:
    """Sums of token distances of normal slices.

    Args:
        slices: of the working grid.
        tokens: per slice.
    """

    def __init__(self, slices: int, tokens: int) -> None:
        self._sums = np.zeros((3, slices, tokens))

    def add(
        self,
        positions: NDArray[np.intp],
        distances: NDArray[np.float32],
        inside: NDArray[np.bool_],
    ) -> None:
        """Add slices of one case.

        Args:
            positions: (n,) along the slice axis.
            distances: (n, N).
            inside: (n, N) bool, tokens that show brain.
        """
        values = np.where(inside, distances, 0).astype(np.float64)
        self._sums[:, positions] += np.stack([inside.astype(np.float64), values, values**2])

    @property
    def has_any(self) -> bool:
        """Whether a token that shows brain was added."""
        return bool(self._sums[0].any())

    def moments(self, by: ExpectedBy) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (slices, N) the usual distance and (slices, N) its standard deviation.

        The mean of a place leans on that of its slice, its variance on the mean variance of the
        slice's places, as if `_PRIOR_CASES` more cases had been seen. A slice nobody saw takes the
        nearest one.

        Args:
            by: ``height`` ignores the place within a slice; ``nothing`` expects the same
                everywhere, so that evidence is the distance itself.
        """
        count, total, squares = self._sums
        if by == "nothing":
            zeros = np.zeros(count.shape, dtype=np.float32)
            return zeros, zeros + np.float32(1 / DEVIATIONS)
        seen = np.flatnonzero(count.any(axis=1))
        assert seen.size, "a trained set of channels was seen in some slice"
        nearest = seen[np.abs(np.arange(count.shape[0])[:, None] - seen).argmin(axis=1)]
        mean, variance = (each[nearest, None] for each in self._of_slices())
        if by == "place":
            errors = squares - total**2 / count.clip(1)
            within = self._within(errors)[nearest, None]
            weight = count + _PRIOR_CASES
            mean = (total + _PRIOR_CASES * mean) / weight
            variance = (errors.clip(0) + _PRIOR_CASES * within) / weight
        spread = np.maximum(np.sqrt(variance), _SMALLEST)
        usual, deviation = (np.broadcast_to(each, count.shape) for each in (mean, spread))
        return usual.astype(np.float32), deviation.astype(np.float32)

    def upper_end(self, by: ExpectedBy) -> NDArray[np.float32]:
        """Return (slices, N) the upper end of what is usual: mean + 2 deviations."""
        mean, deviation = self.moments(by)
        return mean + np.float32(DEVIATIONS) * deviation

    def _of_slices(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and variance (slices,) over all places of a slice."""
        count, total, squares = self._sums.sum(axis=2)
        mean = total / count.clip(1)
        return mean, (squares / count.clip(1) - mean**2).clip(0)

    def _within(self, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (slices,) the mean variance of a place; over all places where each was seen once.

        Args:
            errors: (slices, N) squared deviations from the mean of the place.
        """
        free = (self._sums[0] - 1).clip(0).sum(axis=1)
        within = errors.sum(axis=1).clip(0) / free.clip(1)
        return np.where(free > 0, within, self._of_slices()[1])


class UsualDistances:
    """The upper end of usual distances for every trained set of channels.

    Args:
        by_subset: set of channels to (slices, N).
    """

    def __init__(self, by_subset: Mapping[Subset, NDArray[np.float32]]) -> None:
        self._by_subset = dict(by_subset)

    def evidence(
        self, distances: NDArray[np.float32], positions: NDArray[np.intp], subset: Subset
    ) -> NDArray[np.float32]:
        """Divide (n, N) distances of slices by what is usual for a set of channels there."""
        known = nearest_subset(subset, tuple(self._by_subset))
        evidence: NDArray[np.float32] = distances / self._by_subset[known][positions]
        return evidence

    def state_dict(self) -> dict[str, Any]:
        """Return one array per set of channels."""
        return {subset_name(subset): usual for subset, usual in self._by_subset.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[np.float32]]) -> Self:
        """Restore what `state_dict` returned."""
        return cls({tuple(name.split("+")): usual for name, usual in state.items()})
