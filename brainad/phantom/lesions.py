"""Lesion shapes: irregular balls and wedges in layers, and their push on the surroundings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brainad.phantom.anatomy import MassEffect, Point
from brainad.phantom.template import Map

_EDGE_MM = 0.7
_WAVES = 10


@dataclass(frozen=True)
class Ripple:
    """A smooth random field of mean 0 and standard deviation 1: a sum of plane waves.

    Args:
        seed: of the directions and phases.
        wavelength_mm: of the shortest wave; the longest is 2.5 times as long.
    """

    seed: int
    wavelength_mm: float

    def at(self, points_mm: Map) -> Map:
        """Return the field at (3, n) world positions as (n,)."""
        rng = np.random.default_rng(self.seed)
        direction = rng.standard_normal((_WAVES, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = self.wavelength_mm * rng.uniform(1, 2.5, (_WAVES, 1))
        wave = (2 * np.pi * direction / length).astype(np.float32)
        phase = rng.uniform(0, 2 * np.pi, (_WAVES, 1)).astype(np.float32)
        total: Map = np.cos(wave @ points_mm + phase).sum(axis=0) * np.float32(np.sqrt(2 / _WAVES))
        return total


@dataclass(frozen=True)
class Layer:
    """One tissue of a lesion.

    Args:
        tissue: a key of `CONTRASTS`.
        outer: radius relative to the lesion's, at most 1, before perturbation.
        surface: perturbs that radius.
        roughness: standard deviation of the perturbation relative to the radius.
    """

    tissue: str
    outer: float
    surface: Ripple
    roughness: float

    def boundary(self, points_mm: Map) -> Map:
        """Return the relative radius (n,) where the layer ends towards (3, n) positions."""
        ripple = np.clip(self.surface.at(points_mm), -2, 2)
        # Bumps add more volume than dents take away; a smaller mean keeps the volume.
        mean = self.outer / math.cbrt(1 + 3 * self.roughness**2)
        boundary: Map = np.float32(mean) * (1 + np.float32(self.roughness) * ripple)
        return boundary


@dataclass(frozen=True)
class Lesion:
    """One lesion in native world mm: a ball or a wedge in layers with perturbed surfaces.

    Args:
        origin_mm: centre of a ball, apex of a wedge.
        radius_mm: of the sphere with the same volume, all layers included.
        layers: from the inside outwards; the last one ends at 1.
        mottle: makes its brightness uneven.
        axis: from the apex through the middle of a wedge, unit length; None for a ball.
        half_angle: of a wedge, in radians.
    """

    origin_mm: Point
    radius_mm: float
    layers: tuple[Layer, ...]
    mottle: Ripple
    axis: Point | None = None
    half_angle: float = math.pi

    @property
    def reach_mm(self) -> float:
        """Length of a wedge or radius of a ball, before perturbation."""
        solid = (1 - math.cos(self.half_angle)) / 2
        return self.radius_mm / math.cbrt(solid)

    def relative_radius(self, points_mm: Map) -> Map:
        """Return 0 in the middle to 1 at the unperturbed surface, (3, n) → (n,)."""
        offset = points_mm - np.array(self.origin_mm, dtype=np.float32)[:, None]
        distance = np.linalg.norm(offset, axis=0)
        relative: Map = distance / np.float32(self.reach_mm)
        if self.axis is not None:
            along = np.array(self.axis, dtype=np.float32) @ offset
            angle = np.arccos(np.clip(along / np.maximum(distance, 1e-3), -1, 1))
            relative = np.maximum(relative, angle / np.float32(self.half_angle))
        return relative


def layer_fractions(lesion: Lesion, points_mm: Map, parenchyma: Map) -> dict[str, Map]:
    """Return how much of each place (n,) every layer fills, 0 to 1, with soft edges.

    Args:
        lesion: its shape.
        points_mm: (3, n) native world positions.
        parenchyma: (n,) room for lesions there, 0 to 1.
    """
    relative = lesion.relative_radius(points_mm)
    steepness = np.float32(lesion.radius_mm / _EDGE_MM)
    filled = np.zeros((len(lesion.layers) + 1, *parenchyma.shape), dtype=np.float32)
    room = parenchyma
    for number, layer in reversed(list(enumerate(lesion.layers, start=1))):
        exponent = (relative - layer.boundary(points_mm)) * steepness
        room = np.minimum(room, parenchyma / (1 + np.exp(np.clip(exponent, -20, 20))))
        filled[number] = room
    parts = np.diff(filled, axis=0)
    return {layer.tissue: part for layer, part in zip(lesion.layers, parts, strict=True)}


def mass_effects(lesions: Sequence[Lesion]) -> tuple[MassEffect, ...]:
    """Return the push of every lesion that has a solid core, a third of that core's radius."""
    effects = []
    for lesion in lesions:
        solid = max(
            (layer.outer for layer in lesion.layers if layer.tissue == "enhancing"), default=0
        )
        if solid > 0:
            radius = solid * lesion.radius_mm
            effects.append(MassEffect(lesion.origin_mm, radius, 0.33 * radius))
    return tuple(effects)
