from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.methods.rasalore.augmentation import (
    Freedom,
    Geometry,
    Shading,
    augment,
    draw_geometry,
    draw_shading,
    move,
    shade,
)

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_augmentation_is_the_golden_one(golden: Load) -> None:
    case = golden("augmentation")
    flags = case["flags_rot_h_v_bri_con_noise"].astype(bool)
    for number, (turn, mirror, flip, bright, contrast, noisy) in enumerate(flags):
        geometry = Geometry(int(case["angle_deg"][number]) if turn else 0, bool(mirror), bool(flip))
        shading = Shading(
            float(case["brightness"][number]) if bright else 1.0,
            float(case["contrast"][number]) if contrast else 1.0,
            case["noise"] if noisy else None,
        )
        image = shade(move(case["image_in_128"], geometry, is_mask=False), shading)
        difference = np.abs(image.astype(int) - case["image_out_128"][number])
        assert difference.max() <= 1
        assert (difference > 0).mean() <= 0.01
        for size in ("128", "256"):
            mask = move(case[f"mask_in_{size}"], geometry, is_mask=True)
            assert (mask != case[f"mask_out_{size}"][number]).mean() <= 0.002


def test_images_and_masks_move_together(rng: np.random.Generator) -> None:
    square = np.zeros((64, 64), dtype=np.uint8)
    square[10:30, 35:50] = 255
    (image, other), (mask,) = augment([square, square], [square], Freedom(), rng)
    drawn = (image > 127).astype(int)
    assert (drawn != (mask > 127)).mean() < 0.03
    assert not np.array_equal(image, other)


def test_draws_follow_the_published_shares(rng: np.random.Generator) -> None:
    geometries = [draw_geometry(rng, Freedom()) for _ in range(2000)]
    turned = np.mean([g.degrees != 0 for g in geometries])
    assert 0.64 < turned < 0.75
    assert {abs(g.degrees) <= 90 for g in geometries} == {True}
    assert 0.45 < np.mean([g.left_right for g in geometries]) < 0.55
    shadings = [draw_shading(rng, 2) for _ in range(2000)]
    assert 0.65 < np.mean([s.noise is not None for s in shadings]) < 0.75
    factors = [s.contrast for s in shadings if s.contrast != 1]
    assert 0.45 < len(factors) / 2000 < 0.55
    assert 0.8 <= min(factors) <= max(factors) <= 1.2


@pytest.mark.parametrize(("mirrored", "rows"), [("rows", True), ("none", False)])
def test_upright_heads_stay_upright(
    rng: np.random.Generator, mirrored: Literal["rows", "none"], rows: bool
) -> None:
    geometries = [draw_geometry(rng, Freedom(15, mirrored)) for _ in range(2000)]
    assert {g.degrees for g in geometries} == set(range(-15, 16))
    assert not any(g.left_right for g in geometries)
    assert any(g.top_bottom for g in geometries) == rows
