from __future__ import annotations

import numpy as np
import pytest

from brainad.prediction import Calibration


def calibration(map_threshold: float = 2.0, patient_threshold: float = 4.0) -> Calibration:
    return Calibration(map_threshold, patient_threshold, "a test")


def test_evidence_at_the_threshold_becomes_one_half() -> None:
    evidence = np.array([0.0, 2.0, 6.0, -3.0], dtype=np.float32)
    scores = calibration().probability_like(evidence, 2.0)
    assert scores.dtype == np.float32
    assert scores.tolist() == [0.0, 0.5, 0.75, 0.0]


@pytest.mark.parametrize("threshold", [1e-30, 0.1, 0.3, 1 / 3, 7.7e4])
def test_the_order_of_evidence_is_kept_and_one_is_never_reached(
    threshold: float, rng: np.random.Generator
) -> None:
    evidence = np.sort(threshold * rng.lognormal(0, 3, 1000)).astype(np.float32)
    evidence = np.append(evidence, np.float32(1e30))
    scores = calibration().probability_like(evidence, threshold)
    assert (np.diff(scores) >= 0).all()
    assert scores.min() >= 0
    assert scores.max() < 1
    at = calibration().probability_like(np.array(np.float32(threshold)), threshold)
    assert float(at) == 0.5


def test_evidence_is_not_written_into() -> None:
    evidence = np.array([-1.0, 1.0])
    evidence.flags.writeable = False
    assert calibration().probability_like(evidence, 1.0).tolist() == [0.0, 0.5]


@pytest.mark.parametrize(
    ("map_threshold", "patient_threshold"), [(0.0, 1.0), (1.0, -1.0), (float("nan"), 1.0)]
)
def test_thresholds_must_be_positive(map_threshold: float, patient_threshold: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        calibration(map_threshold, patient_threshold)
