"""The truth of prepared cases, on the working grid and apart from their images.

Only preprocessing writes it and only `brainad.training.supervision` hands it to a method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainad.arrays import ArrayFolder

NORMAL, ANOMALOUS, UNKNOWN = 0, 1, -1


@dataclass(frozen=True, eq=False)
class PreparedTruth:
    """What is known about one prepared case.

    Args:
        lesion: (x, y, z) bool on the working grid, None if nobody drew one.
        slices: (slices,) int8 along the planned slice axis: `NORMAL`, `ANOMALOUS`, `UNKNOWN`.
    """

    lesion: NDArray[np.bool_] | None
    slices: NDArray[np.int8]


class PreparedTruthFolder:
    """A folder of truths.

    Args:
        arrays: where they are kept.
    """

    def __init__(self, arrays: ArrayFolder) -> None:
        self._arrays = arrays

    def holds(self, case_id: str, key: str) -> bool:
        """Tell whether the truth of a case is here and was made for this key."""
        return self._arrays.holds(case_id, key)

    def key(self, case_id: str) -> str | None:
        """Return the key that the truth of a case was made for, None if it is not here."""
        return self._arrays.key(case_id)

    def write(self, case_id: str, key: str, truth: PreparedTruth) -> None:
        """Store the truth of a case; it appears complete or not at all."""
        arrays: dict[str, NDArray[np.int8] | NDArray[np.bool_]] = {"slices": truth.slices}
        if truth.lesion is not None:
            arrays["lesion"] = truth.lesion
        self._arrays.write(case_id, key, arrays)

    def read(self, case_id: str) -> PreparedTruth:
        """Load the truth of a case."""
        arrays = self._arrays.read(case_id)
        return PreparedTruth(arrays.get("lesion"), arrays["slices"])
