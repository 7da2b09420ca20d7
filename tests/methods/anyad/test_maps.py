from __future__ import annotations

import numpy as np
import pytest
import torch

from brainad.methods.anyad.maps import (
    patient_score,
    slice_scores,
    smooth_in_brain,
    token_distance,
)
from brainad.methods.anyad.network import Reconstruction


def test_the_distance_is_the_mean_of_both_groups() -> None:
    shallow, deep = torch.eye(4)[None], torch.eye(4)[None]
    rebuilt = Reconstruction(shallow.clone(), deep.flip(1), torch.zeros(1), torch.zeros(1))
    assert token_distance(shallow, deep, rebuilt).tolist() == [[0.5, 0.5, 0.5, 0.5]]
    same = Reconstruction(3 * shallow, 2 * deep, torch.zeros(1), torch.zeros(1))
    assert token_distance(shallow, deep, same).abs().max() < 1e-6


def test_smoothing_sees_the_brain_only() -> None:
    brain = np.zeros((20, 20, 20), dtype=bool)
    brain[4:16, 4:16, 4:16] = True
    flat = np.where(brain, 2.0, 100.0).astype(np.float32)
    smooth = smooth_in_brain(flat, brain, (2.0, 2.0, 3.0))
    assert smooth[brain] == pytest.approx(2.0, abs=1e-4)
    assert (smooth[~brain] == 0).all()


def test_smoothing_spreads_along_the_slice_axis_as_planned() -> None:
    brain = np.ones((15, 15, 15), dtype=bool)
    point = np.zeros(brain.shape, dtype=np.float32)
    point[7, 7, 7] = 1
    smooth = smooth_in_brain(point, brain, (0.5, 0.5, 2.0))
    assert smooth[7, 7, 9] > 10 * smooth[9, 7, 7]
    assert smooth.sum() == pytest.approx(1, abs=0.05)


def test_slice_scores_average_a_fixed_area() -> None:
    brain = np.zeros((10, 10, 3), dtype=bool)
    brain[:, :, 0] = True
    brain[:2, :2, 1] = True
    evidence = np.zeros(brain.shape, dtype=np.float32)
    evidence[0, :4, 0] = [8, 6, 4, 2]
    evidence[0, 0, 1] = 8
    scores = slice_scores(evidence, brain, axis=2, top_share=0.04)
    # Four values in both slices: one bright voxel in a small slice is no more than in a large one.
    assert scores.tolist() == [5, 2, 0]
    assert slice_scores(evidence, brain, axis=2, top_share=0.0).tolist() == [8, 8, 0]


def test_a_patient_is_judged_by_its_highest_slices() -> None:
    scores = np.array([1, 9, 3, 6], dtype=np.float32)
    assert patient_score(scores, "top_three_slices") == 6
    assert patient_score(scores, "highest_slice") == 9
