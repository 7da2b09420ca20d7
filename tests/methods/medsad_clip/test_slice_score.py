from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from brainad.methods.medsad_clip.slice_score import map_odds, slice_scores


@pytest.mark.parametrize(("pixels", "expected"), [(1, [3, 5]), (2, [2, -1]), (3, [-14, -14])])
def test_the_map_is_as_sure_as_the_last_of_the_pixels_asked_for(
    pixels: int, expected: list[float]
) -> None:
    logits = np.full((2, 2, 2), 9.0, dtype=np.float32)
    brain = np.zeros((2, 2, 2), dtype=bool)
    brain[0] = True
    logits[0] = [[3, 2], [5, -1]]
    assert map_odds(logits, brain, 1, pixels).tolist() == expected


def test_log_odds_of_branch_and_map_are_averaged() -> None:
    drawn = np.array([0.0, 2.0, 4.0], dtype=np.float32)
    scores = slice_scores(np.array([-2.0, 2.0], dtype=np.float32), [0, 2], drawn, 0.5)
    np.testing.assert_allclose(scores, expit([-1, 1, 3]), rtol=1e-6)


def test_without_a_share_of_the_map_the_branch_decides() -> None:
    drawn = np.full(3, 50.0, dtype=np.float32)
    scores = slice_scores(np.array([-2.0, 2.0], dtype=np.float32), [0, 2], drawn, 0.0)
    np.testing.assert_allclose(scores, expit([-2, 0, 2]), rtol=1e-6)


def test_neither_is_so_sure_that_the_other_does_not_count() -> None:
    drawn = np.full(1, 1000.0, dtype=np.float32)
    assert slice_scores(np.array([-1000.0], dtype=np.float32), [0], drawn, 0.5)[0] == 0.5
