from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from brainad.methods.medsad_clip.patient_score import patient_score, smooth

Golden = Callable[[str], Any]


def test_aggregation_matches_the_golden_file(golden: Golden) -> None:
    known = golden("volume").arrays
    slices, share, sigma = known["slice_scores"], float(known["top_frac"]), float(known["sigma"])
    assert np.abs(smooth(slices, sigma) - known["smoothed"]).max() < 1e-6
    for rule, smoothing, key in (
        ("top", 0.0, "score_topk"),
        ("top", sigma, "score_topk_smoothed"),
        ("max", 0.0, "score_max"),
        ("noisy_or", 0.0, "score_noisy_or"),
    ):
        found = patient_score(slices, rule, share, smoothing)  # type: ignore[arg-type]
        assert found == pytest.approx(float(known[key]), abs=1e-6)


@pytest.mark.parametrize(("slices", "expected"), [(10, 1.0), (20, 1.0), (21, 0.5), (40, 0.5)])
def test_the_number_of_top_slices_is_rounded_up(slices: int, expected: float) -> None:
    scores = np.zeros(slices)
    scores[3] = 1.0
    assert patient_score(scores, "top", 0.05, 0.0) == pytest.approx(expected)
