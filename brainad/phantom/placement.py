"""Choose size, place and shape of the lesions of one phantom."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from brainad.phantom.anatomy import Point, Pose, Warp
from brainad.phantom.lesions import Layer, Lesion, Ripple
from brainad.phantom.options import PhantomOptions
from brainad.phantom.template import Map, load_tissue_maps

_SEARCH_MM = 4
_GAP_MM = 6.0
_NECROTIC_MM = 5.0
_BRAIN_CENTRE_MM = np.array([0.0, -20.0, 8.0])


def sample_lesions(
    options: PhantomOptions, pose: Pose, warp: Warp, rng: np.random.Generator
) -> tuple[Lesion, ...]:
    """Draw the lesions of one phantom inside its parenchyma; none for a healthy one.

    Args:
        options: kind of lesion and radius range.
        pose: of the head.
        warp: of the head; places are chosen in the template and carried to native space.
        rng: source of every choice.
    """
    site = _Site(pose, warp, rng)
    low, high = options.radius_range_mm
    match options.lesion:
        case None:
            return ()
        case "glioma":
            return (_glioma(site, float(rng.uniform(low, high))),)
        case "metastases":
            radii = np.sort(rng.uniform(low, high, rng.integers(2, 7)))[::-1]
            return tuple(_metastasis(site, float(radius)) for radius in radii)
        case "stroke":
            return (_stroke(site, float(rng.uniform(low, high))),)
        case "white_matter_spots":
            radii = rng.uniform(low, high, rng.integers(4, 13))
            return tuple(_spot(site, float(radius)) for radius in radii)


class _Site:
    """Candidate places on a coarse template, used up lesion by lesion."""

    def __init__(self, pose: Pose, warp: Warp, rng: np.random.Generator) -> None:
        self._native_from_template = pose.native_from_template
        self._warp = warp
        self.rng = rng
        self.maps = load_tissue_maps(_SEARCH_MM)
        index = np.indices(self.maps.grid.shape)
        origin = self.maps.grid.affine[:3, 3].reshape(3, 1, 1, 1)
        self.positions = origin + _SEARCH_MM * index
        x, y, z = self.positions
        self.cerebrum = (np.abs(x) >= 4) & ((z > -10) | ((y > -20) & (z > -35)))
        self.free = np.ones(self.maps.grid.shape, dtype=bool)

    def ball_centre(self, room: Map, radius_mm: float, share: float = 0.95) -> Point:
        """Choose the centre of a ball of which `room` fills a share, apart from earlier ones."""
        ball = _ball(radius_mm / _SEARCH_MM)
        filled = np.where(self.free, signal.fftconvolve(room, ball, mode="same"), 0)
        enough = min(share, float(filled.max()) * 0.98)
        centre = self.choose(filled >= enough)
        distance = np.linalg.norm(self.positions - centre.reshape(3, 1, 1, 1), axis=0)
        self.free &= distance > 2 * radius_mm + _GAP_MM
        return self.native(centre)

    def choose(self, candidates: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Choose a template position (3,) in a random candidate voxel."""
        voxels = np.argwhere(candidates)
        voxel = voxels[self.rng.integers(len(voxels))]
        jitter = self.rng.uniform(-0.5, 0.5, 3)
        affine = self.maps.grid.affine
        position: NDArray[np.float64] = affine[:3, 3] + _SEARCH_MM * (voxel + jitter)
        return position

    def native(self, template_mm: NDArray[np.float64]) -> Point:
        """Carry a template position (3,) to native world mm."""
        posed = self._warp.invert(template_mm[:, None])[:, 0]
        matrix = self._native_from_template
        x, y, z = matrix[:3, :3] @ posed + matrix[:3, 3]
        return float(x), float(y), float(z)

    def ripple(self, wavelength_mm: float) -> Ripple:
        """Draw a random field."""
        return Ripple(int(self.rng.integers(2**31)), wavelength_mm)

    def layer(self, tissue: str, outer: float, radius_mm: float, roughness: float) -> Layer:
        """Draw the surface of one layer of a lesion."""
        return Layer(tissue, outer, self.ripple(radius_mm * outer), roughness)


def _glioma(site: _Site, radius_mm: float) -> Lesion:
    centre = site.ball_centre(site.maps.parenchyma * site.cerebrum, radius_mm)
    core = float(site.rng.uniform(0.3, 0.5))
    rim = core + float(site.rng.uniform(0.15, 0.25))
    layers = (
        site.layer("necrosis", core, radius_mm, roughness=0.3),
        site.layer("enhancing", rim, radius_mm, roughness=0.2),
        site.layer("oedema", 1.0, radius_mm, roughness=0.2),
    )
    return Lesion(centre, radius_mm, layers, site.ripple(0.5 * radius_mm))


def _metastasis(site: _Site, radius_mm: float) -> Lesion:
    centre = site.ball_centre(site.maps.parenchyma, radius_mm)
    rim = float(site.rng.uniform(0.6, 0.8))
    layers = [
        site.layer("enhancing", rim, radius_mm, roughness=0.08),
        site.layer("oedema", 1.0, radius_mm, roughness=0.12),
    ]
    if radius_mm > _NECROTIC_MM:
        layers.insert(0, site.layer("necrosis", 0.5 * rim, radius_mm, roughness=0.15))
    return Lesion(centre, radius_mm, tuple(layers), site.ripple(radius_mm))


def _spot(site: _Site, radius_mm: float) -> Lesion:
    centre = site.ball_centre(site.maps.white * site.cerebrum, radius_mm, share=0.85)
    layer = site.layer("gliosis", 1.0, radius_mm, roughness=0.2)
    return Lesion(centre, radius_mm, (layer,), site.ripple(radius_mm))


def _stroke(site: _Site, radius_mm: float) -> Lesion:
    """Point a wedge from the depth to the lateral surface, as a branch territory lies."""
    lateral = np.abs(site.positions[0]) > 30
    shell = (site.maps.brain > 0.4) & (site.maps.brain < 0.9)
    surface = site.choose(shell & site.cerebrum & lateral)
    depth = float(np.linalg.norm(surface - _BRAIN_CENTRE_MM))
    length = float(site.rng.uniform(0.5, 0.65)) * depth
    apex = site.native(surface + (_BRAIN_CENTRE_MM - surface) * length / depth)
    offset = np.subtract(site.native(surface), apex)
    x, y, z = (float(value) for value in offset / np.linalg.norm(offset))
    return Lesion(
        origin_mm=apex,
        radius_mm=radius_mm,
        layers=(site.layer("infarct", 1.0, radius_mm, roughness=0.12),),
        mottle=site.ripple(0.5 * radius_mm),
        axis=(x, y, z),
        half_angle=math.acos(max(0.2, 1 - 2 * (radius_mm / length) ** 3)),
    )


def _ball(radius: float) -> Map:
    """Make a ball with a one voxel soft edge that sums to 1; radius in voxels."""
    half = math.ceil(radius)
    axis = np.arange(-half, half + 1)
    x, y, z = np.ix_(axis, axis, axis)
    ball = np.clip(radius + 0.5 - np.sqrt(x * x + y * y + z * z), 0, 1).astype(np.float32)
    result: Map = ball / ball.sum()
    return result
