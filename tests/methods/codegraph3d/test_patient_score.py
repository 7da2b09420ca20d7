from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.methods.codegraph3d.maps import upsample
from brainad.methods.codegraph3d.patient_score import PatientRule, patient_score, smooth_scores

Golden = Callable[[str], dict[str, NDArray[Any]]]


@pytest.mark.parametrize(
    ("rule", "key"),
    [("max", "patient_max_token"), ("top5", "patient_top5"), ("q99", "patient_q99")],
)
def test_scores_match_the_golden_file(golden: Golden, rule: PatientRule, key: str) -> None:
    known = golden("upsample")
    kept = known["mean_scores"][known["token_mask"].astype(bool)]
    assert patient_score(kept, rule) == pytest.approx(known[key], abs=1e-6)


def test_the_largest_voxel_of_the_map_matches_the_golden_file(golden: Golden) -> None:
    known = golden("upsample")
    voxels = upsample(known["mean_scores"], int(known["p"]))[known["voxel_mask"].astype(bool)]
    assert patient_score(voxels, "max") == pytest.approx(known["patient_max_voxel"], abs=1e-6)


@pytest.mark.parametrize(
    ("key", "neighbours"), [("out_k123", (1, 2, 3)), ("out_k189", (1, 8, 9)), ("out_k0", (0, 2))]
)
def test_smoothing_matches_the_golden_file(
    golden: Golden, key: str, neighbours: tuple[int, ...]
) -> None:
    known = golden("rscin")
    found = smooth_scores(known["scores"], known["cls"], neighbours)
    assert np.abs(found - known[key]).max() < 1e-6


def test_one_neighbour_is_the_case_itself() -> None:
    scores = np.array([3.0, 1.0, 2.0])
    assert np.allclose(smooth_scores(scores, np.eye(3), (1,)), [1, 0, 0.5])
