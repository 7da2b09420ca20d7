from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
import pytest

from brainad.phantom.anatomy import Pose, make_warp
from brainad.phantom.lesions import Lesion
from brainad.phantom.options import LesionKind, PhantomOptions
from brainad.phantom.placement import sample_lesions
from brainad.phantom.template import load_tissue_maps, sample_map

STILL = make_warp(0.0, np.random.default_rng(0))
COUNTS: dict[LesionKind, range] = {
    "glioma": range(1, 2),
    "metastases": range(2, 7),
    "stroke": range(1, 2),
    "white_matter_spots": range(4, 13),
}


def drawn(kind: LesionKind, seed: int) -> tuple[Lesion, ...]:
    rng = np.random.default_rng(seed)
    return sample_lesions(PhantomOptions(lesion=kind), Pose(), STILL, rng)


def test_a_healthy_phantom_has_no_lesion() -> None:
    assert sample_lesions(PhantomOptions(), Pose(), STILL, np.random.default_rng(0)) == ()


@pytest.mark.parametrize("kind", get_args(LesionKind))
@pytest.mark.parametrize("seed", range(4))
def test_number_and_radius_are_in_range(kind: LesionKind, seed: int) -> None:
    lesions = drawn(kind, seed)
    low, high = PhantomOptions(lesion=kind).radius_range_mm
    assert len(lesions) in COUNTS[kind]
    assert all(low <= lesion.radius_mm <= high for lesion in lesions)
    assert lesions == drawn(kind, seed)


@pytest.mark.parametrize("kind", ["glioma", "metastases", "white_matter_spots"])
@pytest.mark.parametrize("seed", range(4))
def test_centres_lie_in_parenchyma_and_apart(kind: LesionKind, seed: int) -> None:
    lesions = drawn(kind, seed)
    maps = load_tissue_maps(4)
    centres = np.array([lesion.origin_mm for lesion in lesions]).T
    assert sample_map(maps.parenchyma, maps.grid, centres).min() > 0.6
    for one, other in itertools.combinations(lesions, 2):
        gap = np.linalg.norm(np.subtract(one.origin_mm, other.origin_mm))
        assert gap > one.radius_mm + other.radius_mm


@pytest.mark.parametrize("seed", range(4))
def test_a_stroke_reaches_from_the_depth_to_the_surface(seed: int) -> None:
    (stroke,) = drawn("stroke", seed)
    assert stroke.axis is not None
    maps = load_tissue_maps(4)
    tip = np.array(stroke.origin_mm) + stroke.reach_mm * np.array(stroke.axis)
    depths = np.stack([np.array(stroke.origin_mm), tip + 6 * np.array(stroke.axis)], axis=1)
    inside = sample_map(maps.brain, maps.grid, depths)
    assert inside[0] > 0.99 and inside[1] < 0.6


def test_places_follow_the_pose() -> None:
    options = PhantomOptions(lesion="glioma")
    pose = Pose(shift_mm=(5.0, 6.0, 7.0))
    (moved,) = sample_lesions(options, pose, STILL, np.random.default_rng(3))
    (still,) = drawn("glioma", 3)
    assert np.allclose(np.subtract(moved.origin_mm, still.origin_mm), (5, 6, 7))
