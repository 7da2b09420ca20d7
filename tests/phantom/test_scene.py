from __future__ import annotations

import numpy as np
import pytest

from brainad.phantom.anatomy import native_positions
from brainad.phantom.appearance import CONTRASTS, Appearance
from brainad.phantom.options import PhantomOptions
from brainad.phantom.parameters import sample_parameters
from brainad.phantom.scene import Scene, build_scene
from brainad.phantom.skull import Surroundings
from brainad.phantom.template import load_tissue_maps, sample_map
from brainad.volume import Grid, centred_grid

GRID = centred_grid((44, 52, 46), 4.0, np.array([0.0, -18.0, 10.0]))
T1 = Appearance(CONTRASTS["T1"], texture=0, bias=(0.0,) * 9, noise=0, scale=1)


def unmoved(options: PhantomOptions, seed: int = 1, around: Surroundings | None = None) -> Scene:
    return build_scene(options, sample_parameters(options, seed), GRID, around)


@pytest.fixture(scope="module")
def healthy() -> Scene:
    return unmoved(PhantomOptions(warp_mm=0, random_pose=False))


def test_tissues_sum_to_one_where_there_is_brain(healthy: Scene) -> None:
    total = sum(healthy.tissue.values())
    assert np.allclose(total, 1, atol=1e-5)
    assert healthy.inside.sum() == healthy.detail.size
    assert np.array_equal(healthy.inside, healthy.seen)
    assert healthy.texture.std() == pytest.approx(1, abs=0.3)


def test_an_unmoved_brain_is_the_template(healthy: Scene) -> None:
    maps = load_tissue_maps(4)
    brain = sample_map(maps.brain, maps.grid, native_positions(GRID))
    assert np.allclose(healthy.brain, brain, atol=1e-3)


def test_nothing_is_seen_outside_a_stripped_brain(healthy: Scene) -> None:
    signal = healthy.signal(T1)
    assert (signal[~healthy.inside] == 0).all() and (signal[healthy.inside] > 0).all()
    assert not healthy.lesion().any()


def test_a_lesion_looks_like_its_layers_and_keeps_off_ventricles() -> None:
    scene = unmoved(PhantomOptions(lesion="stroke", warp_mm=0, random_pose=False))
    fraction = scene.lesion()
    assert fraction.min() >= 0 and fraction.max() <= 1 + 1e-5
    core = fraction[scene.inside] > 0.99
    infarct = CONTRASTS["T1"]["infarct"]
    assert np.median(scene.signal(T1)[scene.inside][core]) == pytest.approx(infarct, abs=0.1)
    parenchyma = sample_map(
        load_tissue_maps(4).parenchyma, load_tissue_maps(4).grid, native_positions(GRID)
    )
    assert parenchyma[fraction >= 0.5].min() >= 0.49


def test_lesions_that_meet_never_overfill() -> None:
    options = PhantomOptions(lesion="metastases", lesion_radius_mm=(9.0, 10.0), warp_mm=0)
    for seed in range(3):
        assert unmoved(options, seed).lesion().max() <= 1 + 1e-5


def test_surroundings_fill_the_rest_of_the_head() -> None:
    grid = Grid(GRID.shape, GRID.affine)
    muscle = np.full(grid.shape, 0.6, dtype=np.float32)
    around = Surroundings(grid, muscle)
    options = PhantomOptions(warp_mm=0, random_pose=False)
    scene = unmoved(options, around=around)
    signal = scene.signal(T1)
    assert scene.seen.all()
    muscle_level, fluid_level = CONTRASTS["T1"]["muscle"], CONTRASTS["T1"]["fluid"]
    outside = signal[scene.brain == 0]
    assert outside.max() == pytest.approx(muscle_level, abs=1e-5)
    assert fluid_level < outside.min() < muscle_level - 0.05
    bare = unmoved(options).signal(T1)
    assert np.array_equal(signal[scene.brain == 1], bare[scene.brain == 1])
