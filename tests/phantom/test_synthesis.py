from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.nifti import write_volume
from brainad.phantom import (
    LesionKind,
    Phantom,
    PhantomOptions,
    make_phantom,
    render_phantom,
    sample_parameters,
)
from brainad.phantom.template import load_tissue_maps
from brainad.resampling import ras_grid, resample
from brainad.volume import Volume, centred_grid

CHANNELS = ("T1", "T1CE", "T2", "FLAIR")
COARSE = (4.0, 4.0, 4.0)


def centroid_mm(mask: Volume) -> NDArray[np.float64]:
    index = np.append(np.argwhere(mask.data).mean(axis=0), 1)
    world: NDArray[np.float64] = (mask.grid.affine @ index)[:3]
    return world


def typical(phantom: Phantom, channel: str, tissue: str) -> float:
    """Median brightness of nearly pure tissue in an unmoved phantom."""
    maps = load_tissue_maps(4)
    fraction = {"csf": maps.brain - maps.grey - maps.white, "white": maps.white}[tissue]
    image = phantom.images[channel]
    pure = resample(Volume(fraction, maps.grid), image.grid).data > 0.85
    return float(np.median(image.data[pure & phantom.brain.data]))


@pytest.fixture(scope="module")
def glioma() -> Phantom:
    options = PhantomOptions(CHANNELS, "glioma", (14.0, 18.0), COARSE, random_orientation=True)
    return make_phantom(options, 11)


@pytest.fixture(scope="module")
def unmoved() -> Phantom:
    return make_phantom(
        PhantomOptions(CHANNELS, spacing_mm=COARSE, warp_mm=0, random_pose=False), 1
    )


def test_same_seed_same_bytes_other_seed_other_bytes(glioma: Phantom) -> None:
    options = PhantomOptions(CHANNELS, "glioma", (14.0, 18.0), COARSE, random_orientation=True)
    again = render_phantom(options, sample_parameters(options, 11))
    for channel in CHANNELS:
        assert again.images[channel].data.tobytes() == glioma.images[channel].data.tobytes()
    assert again.lesion.data.tobytes() == glioma.lesion.data.tobytes()
    other = make_phantom(options, 12)
    assert other.images["T1"].data.tobytes() != glioma.images["T1"].data.tobytes()
    assert (glioma.seed, other.seed) == (11, 12)


def test_all_volumes_share_one_grid_and_have_their_types(glioma: Phantom) -> None:
    assert tuple(glioma.images) == CHANNELS
    for image in glioma.images.values():
        assert image.grid.matches(glioma.brain.grid) and image.data.dtype == np.float32
        assert np.array_equal(image.data, np.rint(image.data))
        assert 100 < image.data.max() < 4000
    assert glioma.brain.data.dtype == glioma.lesion.data.dtype == np.bool_
    assert glioma.lesion.grid.matches(glioma.brain.grid)


def test_background_is_zero_exactly_outside_the_brain(glioma: Phantom) -> None:
    for image in glioma.images.values():
        assert np.array_equal(image.data > 0, glioma.brain.data)


def test_brain_has_a_plausible_volume_and_room_around_it(glioma: Phantom) -> None:
    litres = glioma.brain.data.sum() * glioma.brain.grid.voxel_mm3 / 1e6
    assert 1.4 < litres < 2.4
    for axis in range(3):
        ends = np.take(glioma.brain.data, [0, -1], axis=axis)
        assert not ends.any()


@pytest.mark.parametrize("kind", get_args(LesionKind))
def test_lesions_lie_in_the_brain_and_have_the_drawn_volume(kind: LesionKind) -> None:
    for seed in range(2):
        phantom = make_phantom(PhantomOptions(lesion=kind, spacing_mm=(2.0, 2.0, 2.0)), seed)
        assert not (phantom.lesion.data & ~phantom.brain.data).any()
        drawn = sum(4 / 3 * math.pi * one.radius_mm**3 for one in phantom.parameters.lesions)
        volume = phantom.lesion.data.sum() * phantom.lesion.grid.voxel_mm3
        assert 0.55 < volume / drawn < 1.35


def test_a_healthy_phantom_has_an_empty_mask(unmoved: Phantom) -> None:
    assert not unmoved.lesion.data.any()


def test_orientation_changes_the_axes_and_not_the_world(glioma: Phantom) -> None:
    upright = make_phantom(PhantomOptions(CHANNELS, "glioma", (14.0, 18.0), COARSE), 11)
    assert not upright.lesion.grid.matches(glioma.lesion.grid)
    assert np.allclose(centroid_mm(upright.lesion), centroid_mm(glioma.lesion), atol=1e-6)
    turned = resample(glioma.images["T2"], ras_grid(glioma.brain.grid))
    assert np.array_equal(turned.data, upright.images["T2"].data)


def test_oblique_and_fine_grids_show_the_same_lesion(glioma: Phantom) -> None:
    options = PhantomOptions(("T1",), "glioma", (14.0, 18.0), COARSE, oblique_degrees=20)
    oblique = make_phantom(options, 11)
    tilt = np.abs(oblique.brain.grid.affine[:3, :3] / 4)
    assert 0.02 < np.sort(tilt.ravel())[:6].max() < 0.6
    assert np.linalg.norm(centroid_mm(oblique.lesion) - centroid_mm(glioma.lesion)) < 1
    fine = make_phantom(dataclasses.replace(options, spacing_mm=(2.0, 2.0, 2.0)), 11)
    assert np.linalg.norm(centroid_mm(fine.lesion) - centroid_mm(glioma.lesion)) < 1


def test_thick_slices_have_their_spacing_and_the_same_truth(glioma: Phantom) -> None:
    options = PhantomOptions(("T2",), "glioma", (14.0, 18.0), (2.0, 2.0, 6.0))
    thick = make_phantom(options, 11)
    assert thick.brain.grid.spacing_mm == pytest.approx((2, 2, 6))
    assert np.array_equal(thick.images["T2"].data > 0, thick.brain.data)
    assert np.linalg.norm(centroid_mm(thick.lesion) - centroid_mm(glioma.lesion)) < 1.5
    litres = [p.brain.data.sum() * p.brain.grid.voxel_mm3 for p in (thick, glioma)]
    assert litres[0] == pytest.approx(litres[1], rel=0.03)


def test_fluid_is_dark_on_t1_and_flair_and_bright_on_t2(unmoved: Phantom) -> None:
    ratio = {c: typical(unmoved, c, "csf") / typical(unmoved, c, "white") for c in CHANNELS}
    assert ratio["T1"] < 0.6 and ratio["T1CE"] < 0.6 and ratio["FLAIR"] < 0.7
    assert ratio["T2"] > 1.8


def test_glioma_is_bright_on_t2_and_flair(glioma: Phantom) -> None:
    for channel, sign in {"T2": 1, "FLAIR": 1, "T1": -1}.items():
        image = glioma.images[channel].data
        lesion, healthy = glioma.lesion.data, glioma.brain.data & ~glioma.lesion.data
        assert sign * (np.median(image[lesion]) / np.median(image[healthy]) - 1) > 0.05


def test_an_unmoved_phantom_lies_on_the_template(unmoved: Phantom) -> None:
    maps = load_tissue_maps(4)
    template = resample(Volume(maps.brain, maps.grid), unmoved.brain.grid).data >= 0.5
    assert np.array_equal(unmoved.native_from_template, np.eye(4))
    both = (template & unmoved.brain.data).sum()
    assert 2 * both / (template.sum() + unmoved.brain.data.sum()) > 0.995


def test_pose_tells_where_the_brain_went() -> None:
    phantom = make_phantom(PhantomOptions(spacing_mm=COARSE, warp_mm=0), 21)
    maps = load_tissue_maps(4)
    back = np.linalg.inv(phantom.native_from_template).astype(np.float64)
    template = resample(Volume(maps.brain, maps.grid), phantom.brain.grid, 1, back).data >= 0.5
    both = (template & phantom.brain.data).sum()
    assert 2 * both / (template.sum() + phantom.brain.data.sum()) > 0.995
    assert np.linalg.norm(phantom.native_from_template - np.eye(4)) > 1


def test_warped_phantoms_are_not_left_right_symmetric() -> None:
    phantom = make_phantom(PhantomOptions(spacing_mm=COARSE, random_pose=False), 31)
    mirror = resample(phantom.brain, phantom.brain.grid, 0, np.diag([-1.0, 1, 1, 1])).data
    assert (mirror ^ phantom.brain.data).sum() > 0.03 * phantom.brain.data.sum()


def test_no_single_threshold_fits_all_phantoms() -> None:
    options = PhantomOptions(("T1",), spacing_mm=COARSE, warp_mm=0, random_pose=False)
    phantoms = [make_phantom(options, seed) for seed in range(6)]
    white = [typical(phantom, "T1", "white") for phantom in phantoms]
    assert max(white) / min(white) > 1.3


def test_a_head_brings_signal_around_the_same_brain(tmp_path: Path) -> None:
    grid = centred_grid((56, 64, 56), 4.0, np.array([0.0, -18.0, 10.0]))
    x, y, z = np.indices(grid.shape) * 4.0
    ball = np.sqrt((x - 110) ** 2 + (y - 126) ** 2 + (z - 110) ** 2) < 106
    head = tmp_path / "head.nii.gz"
    write_volume(head, Volume(np.where(ball, 100, 0).astype(np.float32), grid))
    options = PhantomOptions(("T1",), spacing_mm=COARSE, head=head)
    phantom = make_phantom(options, 41)
    image, brain = phantom.images["T1"].data, phantom.brain.data
    assert (image >= 1).all()
    assert (image[~brain] > 0.2 * np.median(image[brain])).mean() > 0.3
    stripped = make_phantom(dataclasses.replace(options, head=None), 41)
    assert brain.sum() == pytest.approx(stripped.brain.data.sum(), rel=0.01)
