"""The tissue of one phantom on its sampling grid, before any channel is rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from brainad.phantom.anatomy import make_warp, native_positions, template_positions
from brainad.phantom.appearance import Appearance, extracranial_signal, mix_tissues
from brainad.phantom.lesions import Lesion, layer_fractions, mass_effects
from brainad.phantom.options import PhantomOptions, random_stream
from brainad.phantom.parameters import PhantomParameters
from brainad.phantom.skull import Surroundings, load_fluid
from brainad.phantom.template import Map, TissueMaps, load_tissue_maps, sample_map
from brainad.volume import Grid

# How much of a lesion's own look replaces the tissue it grows in; the rest shines through.
_OPACITY = MappingProxyType({"oedema": 0.8, "infarct": 0.85, "gliosis": 0.85})
_TEXTURE_MM = 3
_UNEVENNESS = np.float32(0.07)


@dataclass(frozen=True, eq=False)
class Scene:
    """What is where; values of n places inside the brain lie in one row.

    Args:
        brain: (x, y, z) fraction of brain.
        inside: (x, y, z) bool, the n places that hold any brain.
        seen: (x, y, z) bool, the places that give signal: the brain or the whole head.
        tissue: ``csf``, ``grey`` and ``white``, (n,) fractions that sum to 1.
        detail: (n,) `TissueMaps.detail`.
        texture: (n,) random field, mean 0 and standard deviation about 1.
        layers: (n,) fraction of each lesion tissue.
        mottle: (n,) random field inside lesions, 0 elsewhere.
        surroundings: (x, y, z) T1 brightness and fluid fraction outside the brain.
    """

    brain: Map
    inside: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    tissue: Mapping[str, Map]
    detail: Map
    texture: Map
    layers: Mapping[str, Map]
    mottle: Map
    surroundings: tuple[Map, Map] | None

    def lesion(self) -> Map:
        """Return the fraction (x, y, z) of lesion, all layers together."""
        result = np.zeros_like(self.brain)
        for fraction in self.layers.values():
            result[self.inside] += fraction
        return result

    def signal(self, look: Appearance) -> Map:
        """Render one channel (x, y, z), 0 where nothing is seen."""
        brain = mix_tissues(look, self.tissue, self.detail)
        uneven = 1 + _UNEVENNESS * self.mottle
        covered = np.zeros_like(brain)
        added = np.zeros_like(brain)
        for name, fraction in self.layers.items():
            opaque = np.float32(_OPACITY.get(name, 1.0)) * fraction
            covered += opaque
            added += opaque * np.float32(look.tissue[name]) * uneven
        brain = brain * (1 - covered) + added
        brain *= 1 + np.float32(look.texture) * self.texture
        result = np.zeros_like(self.brain)
        result[self.inside] = brain
        if self.surroundings is not None:
            t1, fluid = self.surroundings
            around = extracranial_signal(look, t1)
            around += fluid * (np.float32(look.tissue["fluid"]) - around)
            result = self.brain * result + (1 - self.brain) * around
        return result


def build_scene(
    options: PhantomOptions,
    parameters: PhantomParameters,
    grid: Grid,
    surroundings: Surroundings | None,
) -> Scene:
    """Sample every tissue map once, at the composed coordinate map of the phantom.

    Args:
        options: warp amplitude and spacing.
        parameters: random choices.
        grid: native sampling grid.
        surroundings: of a head with skull; None leaves everything but the brain empty.
    """
    maps = load_tissue_maps(max(1, round(min(grid.spacing_mm))))
    warp = make_warp(options.warp_mm, random_stream(parameters.seed, "warp"))
    pushes = mass_effects(parameters.lesions)
    template_mm = template_positions(grid, parameters.pose, warp, pushes)
    brain = sample_map(maps.brain, maps.grid, template_mm)
    inside = brain > 0
    places = template_mm[:, inside]
    around = None
    if surroundings is not None:
        fluid = load_fluid(round(maps.grid.spacing_mm[0]))
        around = (
            sample_map(surroundings.t1, surroundings.grid, template_mm),
            sample_map(fluid, maps.grid, template_mm),
        )
    parenchyma = sample_map(maps.parenchyma, maps.grid, places)
    layers, mottle = _grow(parameters.lesions, native_positions(grid)[:, inside], parenchyma)
    return Scene(
        brain=brain,
        inside=inside,
        seen=inside if around is None else np.ones_like(inside),
        tissue=_sharpened(maps, places, brain[inside], parameters),
        detail=sample_map(maps.detail, maps.grid, places),
        texture=_texture(places, random_stream(parameters.seed, "texture")),
        layers=layers,
        mottle=mottle,
        surroundings=around,
    )


def _sharpened(
    maps: TissueMaps, places: Map, brain: Map, parameters: PhantomParameters
) -> dict[str, Map]:
    """Turn averaged tissue maps into those of one person: exponents sharpen, a weight drains."""
    grey = sample_map(maps.grey, maps.grid, places)
    white = sample_map(maps.white, maps.grid, places)
    exponent = np.float32(parameters.sharpness)
    fractions = {
        "csf": np.maximum(brain - grey - white, 1e-3) ** exponent * np.float32(parameters.fluid),
        "grey": grey**exponent,
        "white": white**exponent,
    }
    total = fractions["csf"] + fractions["grey"] + fractions["white"]
    return {name: fraction / total for name, fraction in fractions.items()}


def _texture(places: Map, rng: np.random.Generator) -> Map:
    """Sample white noise that lives on a lattice in the template, so that it moves with it."""
    coarse = load_tissue_maps(_TEXTURE_MM).grid
    noise = rng.standard_normal(coarse.shape, dtype=np.float32)
    return 2 * sample_map(noise, coarse, places)


def _grow(lesions: tuple[Lesion, ...], places: Map, parenchyma: Map) -> tuple[dict[str, Map], Map]:
    """Sum the layers of all lesions; where two meet the earlier one keeps its place."""
    layers: dict[str, Map] = {}
    mottle = np.zeros_like(parenchyma)
    free = parenchyma.copy()
    for lesion in lesions:
        near = np.flatnonzero(_near(lesion, places))
        positions = places[:, near]
        mottle[near] = lesion.mottle.at(positions)
        for tissue, fraction in layer_fractions(lesion, positions, free[near]).items():
            layers.setdefault(tissue, np.zeros_like(parenchyma))[near] += fraction
            free[near] -= fraction
    return layers, mottle


def _near(lesion: Lesion, places: Map) -> NDArray[np.bool_]:
    """Tell which places lie in the box that a lesion can reach."""
    reach = np.float32(lesion.reach_mm * (1 + 2 * lesion.layers[-1].roughness) + 5)
    inside = np.ones(places.shape[1], dtype=bool)
    for coordinate, middle in zip(places, lesion.origin_mm, strict=True):
        inside &= np.abs(coordinate - np.float32(middle)) < reach
    return inside
