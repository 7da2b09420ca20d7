"""What a method says, how it is read, and what a user gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.volume import Volume

# Overwhelming evidence would be rounded to 1.
_BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))


@dataclass(frozen=True, eq=False)
class Prediction:
    """Anomaly evidence for one case, on any scale; higher is more anomalous.

    Args:
        case_id: name of the case.
        anomaly_map: float32 on the working grid, 0 outside the brain.
        score: evidence for the whole case.
        slice_scores: (slices,) evidence per slice of the working grid, or None if the
            method says nothing beyond the map.
    """

    case_id: str
    anomaly_map: Volume
    score: float
    slice_scores: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Calibration:
    """Thresholds that turn evidence into decisions; chosen on held-out cases or by a rule.

    Evidence r becomes ``r / (r + threshold)``: monotonous, in [0, 1), and 0.5 at the
    threshold whatever the method's own scale.

    Args:
        map_threshold: voxels at or above it are anomalous.
        patient_threshold: cases at or above it are anomalous.
        source: one sentence saying where the thresholds come from.
        healthy_scores: sorted scores of the held-out healthy cases, for p-values.
    """

    map_threshold: float
    patient_threshold: float
    source: str
    healthy_scores: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (self.map_threshold > 0 and self.patient_threshold > 0):
            raise ValueError("thresholds must be positive")

    def probability_like(self, evidence: NDArray[Any], threshold: float) -> NDArray[np.float32]:
        """Map evidence ≥ 0 to [0, 1) so that the threshold becomes 0.5."""
        positive = np.maximum(evidence, 0)
        share = (positive / (positive + threshold)).astype(np.float32)
        result: NDArray[np.float32] = np.minimum(share, _BELOW_ONE)
        return result


@dataclass(frozen=True, eq=False)
class Result:
    """Everything that is delivered for one case, on the grid of its reference file.

    Args:
        case_id: name of the case.
        anomaly_map: float32 in [0, 1), 0.5 at the threshold.
        mask: bool, voxels at or above the threshold.
        score: in [0, 1), 0.5 at the patient threshold.
        score_raw: the method's own score.
        slice_axis: array axis of the file that `slice_scores` count along.
        slice_scores: (slices,) in [0, 1).
        warnings: sentences a user should read.
    """

    case_id: str
    anomaly_map: Volume
    mask: Volume
    score: float
    score_raw: float
    slice_axis: int
    slice_scores: NDArray[np.float32]
    warnings: tuple[str, ...] = ()
