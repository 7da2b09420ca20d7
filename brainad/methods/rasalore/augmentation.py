"""Augmentation of eight-bit crops and masks (specification 1.5): first drawn, then applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from brainad.methods.rasalore.grey import Grey

_ROTATION_SHARE = 0.7
_FACTORS = (0.8, 1.2)
_NOISE_SHARE = 0.7
_NOISE = 10.0


@dataclass(frozen=True)
class Freedom:
    """How far a slice may be moved; the defaults are the published ones.

    Args:
        degrees: largest rotation.
        mirrored: along ``both`` sides of a slice; only along its ``rows``, which are left and right
            of all but sagittal slices; or ``none``.
    """

    degrees: int = 90
    mirrored: Literal["both", "rows", "none"] = "both"


@dataclass(frozen=True)
class Geometry:
    """What moves an image and its masks alike.

    Args:
        degrees: of rotation about the centre, counter-clockwise.
        left_right: mirror the columns, after the rotation.
        top_bottom: mirror the rows, last.
    """

    degrees: int = 0
    left_right: bool = False
    top_bottom: bool = False


@dataclass(frozen=True, eq=False)
class Shading:
    """What changes grey levels, in this order.

    Args:
        brightness: factor; 1 leaves the image.
        contrast: factor about the rounded mean; 1 leaves the image.
        noise: grey levels that are added, or None.
    """

    brightness: float = 1.0
    contrast: float = 1.0
    noise: NDArray[np.float64] | None = None


def draw_geometry(rng: np.random.Generator, freedom: Freedom) -> Geometry:
    """Draw a rotation and mirrorings, independently."""
    rotate = rng.random() < _ROTATION_SHARE
    degrees = int(rng.integers(-freedom.degrees, freedom.degrees + 1))
    columns, rows = rng.random(2) < 0.5
    return Geometry(
        degrees if rotate else 0,
        bool(columns) and freedom.mirrored == "both",
        bool(rows) and freedom.mirrored != "none",
    )


def draw_shading(rng: np.random.Generator, size: int) -> Shading:
    """Draw brightness, contrast and noise for an image of (size, size), independently."""
    factors = rng.uniform(*_FACTORS, size=2)
    brightness, contrast = np.where(rng.random(2) < 0.5, factors, 1.0)
    noise = rng.normal(0, _NOISE, (size, size))
    noisy = rng.random() < _NOISE_SHARE
    return Shading(float(brightness), float(contrast), noise if noisy else None)


def move(image: Grey, geometry: Geometry, *, is_mask: bool) -> Grey:
    """Apply a geometry: images bilinearly, masks by nearest neighbours, 0 from outside."""
    resample = Image.Resampling.NEAREST if is_mask else Image.Resampling.BILINEAR
    picture = Image.fromarray(image)
    if geometry.degrees:
        picture = picture.rotate(geometry.degrees, resample=resample)
    moved = np.asarray(picture)
    if geometry.left_right:
        moved = moved[:, ::-1]
    if geometry.top_bottom:
        moved = moved[::-1]
    return np.ascontiguousarray(moved)


def shade(image: Grey, shading: Shading) -> Grey:
    """Apply a shading to one image."""
    picture = Image.fromarray(image)
    if shading.brightness != 1:
        picture = ImageEnhance.Brightness(picture).enhance(shading.brightness)
    if shading.contrast != 1:
        picture = ImageEnhance.Contrast(picture).enhance(shading.contrast)
    shaded = np.asarray(picture)
    if shading.noise is None:
        return shaded
    return (shaded + shading.noise).clip(0, 255).astype(np.uint8)


def augment(
    images: Sequence[Grey], masks: Sequence[Grey], freedom: Freedom, rng: np.random.Generator
) -> tuple[list[Grey], list[Grey]]:
    """Move all images and masks alike, and shade each image on its own."""
    geometry = draw_geometry(rng, freedom)
    moved = [move(image, geometry, is_mask=False) for image in images]
    shaded = [shade(image, draw_shading(rng, image.shape[0])) for image in moved]
    return shaded, [move(mask, geometry, is_mask=True) for mask in masks]
