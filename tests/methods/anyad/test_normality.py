from __future__ import annotations

import numpy as np
import pytest

from brainad.methods.anyad.normality import NormalDistance, UsualDistances

SLICES, TOKENS = 6, 4


def measured(rng: np.random.Generator, cases: int = 400) -> NormalDistance:
    """Distances that differ between slices 1 and 3 and between tokens; token 3 is outside."""
    normal = NormalDistance(SLICES, TOKENS)
    positions = np.array([1, 3])
    mean = np.array([[1.0, 2.0, 3.0, 9.0], [2.0, 4.0, 6.0, 9.0]])
    inside = np.broadcast_to(np.array([True, True, True, False]), (2, TOKENS))
    for _ in range(cases):
        noise = 0.1 * rng.standard_normal((2, TOKENS))
        normal.add(positions, (mean + noise).astype(np.float32), inside)
    return normal


def test_places_are_told_apart_once_many_cases_were_seen(rng: np.random.Generator) -> None:
    usual = measured(rng).upper_end("place")
    assert usual.shape == (SLICES, TOKENS)
    assert usual[1, :3] == pytest.approx([1.2, 2.2, 3.2], rel=0.03)
    assert usual[3, :3] == pytest.approx([2.2, 4.2, 6.2], rel=0.03)


def test_heights_share_one_value_and_unseen_slices_take_the_nearest(
    rng: np.random.Generator,
) -> None:
    usual = measured(rng).upper_end("height")
    assert np.ptp(usual, axis=1).max() == 0
    # The mean of 1, 2, 3 is 2 and their deviation 0.82.
    assert usual[1, 0] == pytest.approx(2 + 2 * np.sqrt(2 / 3 + 0.01), rel=0.02)
    assert (usual[[0, 1]] == usual[1]).all()
    assert (usual[[4, 5]] == usual[3]).all()


def test_few_cases_lean_on_the_slice(rng: np.random.Generator) -> None:
    normal = measured(rng, cases=1)
    place, height = normal.upper_end("place"), normal.upper_end("height")
    means = np.array([1.0, 2.0, 3.0])
    assert (np.abs(place[1, :3] - height[1, :3]) < np.abs(means + 0.2 - height[1, :3])).all()
    # A place that never showed brain knows nothing but its slice.
    assert place[1, 3] == pytest.approx(height[1, 3])
    assert height.shape == (SLICES, TOKENS)


def test_mean_and_deviation_are_those_of_the_place(rng: np.random.Generator) -> None:
    mean, deviation = measured(rng).moments("place")
    assert mean[3, :3] == pytest.approx([2, 4, 6], rel=0.03)
    assert deviation[3, :3] == pytest.approx(0.1, rel=0.15)


def test_the_paper_compares_with_nothing(rng: np.random.Generator) -> None:
    normal = measured(rng)
    assert (normal.upper_end("nothing") == 1).all()
    assert not normal.moments("nothing")[0].any()


def test_evidence_is_relative_to_the_set_of_channels() -> None:
    usual = {("T1",): np.full((2, 3), 2.0, np.float32), ("T1", "T2"): np.ones((2, 3), np.float32)}
    judge = UsualDistances.from_state(UsualDistances(usual).state_dict())
    distances, positions = np.ones((1, 3), np.float32), np.array([1])
    assert judge.evidence(distances, positions, ("T1",)).tolist() == [[0.5] * 3]
    assert judge.evidence(distances, positions, ("T1", "T2")).tolist() == [[1.0] * 3]
    assert judge.evidence(distances, positions, ("T1", "T2", "FLAIR")).tolist() == [[1.0] * 3]
