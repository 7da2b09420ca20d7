"""Put a phantom together: draw every parameter first, then render it on its own grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainad.phantom.acquisition import average, field_of_view, reorient, subdivide
from brainad.phantom.appearance import Appearance, add_rician_noise, bias_field
from brainad.phantom.options import PhantomOptions, random_stream
from brainad.phantom.parameters import PhantomParameters, sample_parameters
from brainad.phantom.scene import build_scene
from brainad.phantom.skull import Surroundings, load_surroundings
from brainad.phantom.template import Map, load_tissue_maps
from brainad.volume import Grid, Volume

_MARGIN_MM = 8.0


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic scan with its truth; all volumes share one native grid.

    Args:
        images: float32 whole numbers from 0 per channel, in scanner units.
        brain: bool, where at least half of the voxel is brain.
        lesion: bool, where at least half of the tissue is lesion, oedema included.
        native_from_template: (4, 4) MNI world mm to native world mm without the warp.
        parameters: the choices that made it.
    """

    images: Mapping[str, Volume]
    brain: Volume
    lesion: Volume
    native_from_template: NDArray[np.float64]
    parameters: PhantomParameters

    @property
    def seed(self) -> int:
        """The seed it was made from."""
        return self.parameters.seed


def make_phantom(options: PhantomOptions, seed: int) -> Phantom:
    """Make one phantom; the same options and seed give the same bytes.

    Args:
        options: what it shall be.
        seed: 0 or greater.
    """
    return render_phantom(options, sample_parameters(options, seed))


def render_phantom(options: PhantomOptions, parameters: PhantomParameters) -> Phantom:
    """Render a phantom from its parameters.

    Args:
        options: spacing, warp amplitude and head; the same as for `sample_parameters`.
        parameters: random choices to apply.
    """
    edge_mm = min(options.spacing_mm)
    surroundings = None
    if options.head is not None:
        surroundings = load_surroundings(options.head, max(1, round(edge_mm)))
    grid = _native_grid(options, parameters, surroundings)
    x, y, z = (max(1, round(edge / edge_mm)) for edge in options.spacing_mm)
    factors = (x, y, z)
    scene = build_scene(options, parameters, subdivide(grid, factors), surroundings)
    brain = average(scene.brain, factors) >= 0.5
    lesion = (average(scene.lesion(), factors) >= 0.5) & brain
    seen = average(scene.seen.astype(np.float32), factors)
    measured = brain if options.head is None else np.ones(grid.shape, dtype=bool)
    images = {}
    for channel, look in parameters.appearances.items():
        signal = average(scene.signal(look), factors) / np.maximum(seen, 1e-3)
        noise = random_stream(parameters.seed, f"noise {channel}")
        image = _acquire(Volume(signal, grid), measured, look, noise)
        images[channel] = reorient(Volume(image, grid), parameters.scan)
    return Phantom(
        images=images,
        brain=reorient(Volume(brain, grid), parameters.scan),
        lesion=reorient(Volume(lesion, grid), parameters.scan),
        native_from_template=parameters.pose.native_from_template,
        parameters=parameters,
    )


def _native_grid(
    options: PhantomOptions, parameters: PhantomParameters, surroundings: Surroundings | None
) -> Grid:
    """Fit the field of view around the posed brain, or around the whole head."""
    maps = load_tissue_maps(4)
    index = np.argwhere(maps.brain > 0).T
    template = maps.grid.affine[:3, :3] @ index + maps.grid.affine[:3, 3:]
    if surroundings is not None:
        template = surroundings.tissue_mm()
    matrix = parameters.pose.native_from_template
    native = matrix[:3, :3] @ template + matrix[:3, 3:]
    margin = _MARGIN_MM + 2 * options.warp_mm
    return field_of_view(native, parameters.scan, options.spacing_mm, margin)


def _acquire(
    signal: Volume, measured: NDArray[np.bool_], look: Appearance, rng: np.random.Generator
) -> Map:
    """Apply bias field, noise and scanner units where something is measured, 0 elsewhere."""
    biased = signal.data * bias_field(look, signal.grid)
    image = np.zeros(signal.grid.shape, dtype=np.float32)
    noisy = add_rician_noise(biased[measured], look.noise, rng)
    # At least 1 wherever something is measured, so that 0 marks a stripped background.
    image[measured] = np.maximum(np.rint(noisy * np.float32(look.scale)), 1)
    return image
