"""How tissue looks in each channel: contrasts, extracranial tissue, bias field, noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from brainad.phantom.template import Map
from brainad.volume import Grid

# Typical brightness of each tissue at 1.5 to 3 T in units of white matter on T1.
CONTRASTS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "T1": {
            "csf": 0.28, "grey": 0.70, "white": 1.0, "necrosis": 0.42, "enhancing": 0.66,
            "oedema": 0.70, "infarct": 0.60, "gliosis": 0.74, "fluid": 0.28,
            "bone": 0.12, "muscle": 0.55, "fat": 1.55,
        },
        "T1CE": {
            "csf": 0.28, "grey": 0.72, "white": 0.98, "necrosis": 0.40, "enhancing": 1.50,
            "oedema": 0.68, "infarct": 0.60, "gliosis": 0.74, "fluid": 0.50,
            "bone": 0.14, "muscle": 0.65, "fat": 1.55,
        },
        "T2": {
            "csf": 1.55, "grey": 0.80, "white": 0.54, "necrosis": 1.25, "enhancing": 0.95,
            "oedema": 1.10, "infarct": 1.05, "gliosis": 0.98, "fluid": 1.30,
            "bone": 0.10, "muscle": 0.30, "fat": 0.90,
        },
        "FLAIR": {
            "csf": 0.20, "grey": 0.78, "white": 0.61, "necrosis": 0.55, "enhancing": 0.95,
            "oedema": 1.10, "infarct": 1.15, "gliosis": 1.10, "fluid": 0.22,
            "bone": 0.10, "muscle": 0.35, "fat": 0.95,
        },
    }
)  # fmt: skip

_EXTRACRANIAL_T1 = (0.0, 0.15, 0.6, 1.5)
_BIAS_SPAN_MM = 90.0


@dataclass(frozen=True)
class Appearance:
    """How one channel of one phantom looks.

    Args:
        tissue: brightness per tissue, in units of white matter on T1.
        texture: strength of random fine texture inside tissue.
        bias: coefficients of x, y, z, x², y², z², xy, yz and xz in the logarithm of the
            field, positions counted from the middle of the grid in units of 90 mm.
        noise: standard deviation of the Rician noise, in units of white matter on T1.
        scale: scanner units of white matter on T1.
    """

    tissue: Mapping[str, float]
    texture: float
    bias: tuple[float, ...]
    noise: float
    scale: float


def sample_appearance(channel: str, rng: np.random.Generator) -> Appearance:
    """Draw contrasts within about 8 percent of the typical ones, bias, noise and scale."""
    varied = {
        name: value * float(rng.uniform(0.92, 1.08)) for name, value in CONTRASTS[channel].items()
    }
    slope, curve = rng.uniform(-0.12, 0.12, 3), rng.uniform(-0.12, 0.12, 6)
    return Appearance(
        tissue=varied,
        texture=float(rng.uniform(0.01, 0.03)),
        bias=tuple(float(value) for value in (*slope, *curve)),
        noise=float(rng.uniform(0.01, 0.025)),
        scale=float(rng.uniform(400, 900)),
    )


def mix_tissues(appearance: Appearance, fractions: Mapping[str, Map], detail: Map) -> Map:
    """Render brain tissue: its mixture plus template detail, translated into the channel.

    What the T1 template shows beyond its tissue means stands for tissue between two kinds;
    the ratio of contrasts between grey matter and white matter (or fluid) carries it over.

    Args:
        appearance: of the channel.
        fractions: ``csf``, ``grey`` and ``white``, float32 arrays of one shape.
        detail: `TissueMaps.detail` at the same places.
    """
    tissue, t1 = appearance.tissue, CONTRASTS["T1"]
    solid_slope = (tissue["white"] - tissue["grey"]) / (t1["white"] - t1["grey"])
    fluid_slope = (tissue["grey"] - tissue["csf"]) / (t1["grey"] - t1["csf"])
    slope = np.float32(solid_slope) + np.float32(fluid_slope - solid_slope) * fractions["csf"]
    signal = slope * detail
    for name, fraction in fractions.items():
        signal += np.float32(tissue[name]) * fraction
    result: Map = np.maximum(signal, np.float32(0.03))
    return result


def extracranial_signal(appearance: Appearance, head_t1: Map) -> Map:
    """Translate T1 brightness outside the brain (white matter 1) into the channel."""
    names = ("bone", "muscle", "fat")
    levels = [0.0, *(appearance.tissue[name] for name in names)]
    return np.interp(head_t1, _EXTRACRANIAL_T1, levels).astype(np.float32)


def bias_field(appearance: Appearance, grid: Grid) -> Map:
    """Return the multiplicative receive field (x, y, z) on a grid, smooth and around 1."""
    axes = [
        (np.arange(n, dtype=np.float32) - (n - 1) / 2) * np.float32(edge / _BIAS_SPAN_MM)
        for n, edge in zip(grid.shape, grid.spacing_mm, strict=True)
    ]
    x, y, z = np.ix_(*(axis.astype(np.float32) for axis in axes))
    terms = (x, y, z, x * x, y * y, z * z, x * y, y * z, x * z)
    logarithm = np.zeros(grid.shape, dtype=np.float32)
    for coefficient, term in zip(appearance.bias, terms, strict=True):
        logarithm += np.float32(coefficient) * term
    result: Map = np.exp(logarithm, out=logarithm)
    return result


def add_rician_noise(signal: Map, sigma: float, rng: np.random.Generator) -> Map:
    """Return the magnitude of the signal with complex Gaussian noise added."""
    real = rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = rng.standard_normal(signal.shape, dtype=np.float32)
    scale = np.float32(sigma)
    result: NDArray[np.float32] = np.hypot(signal + scale * real, scale * imaginary)
    return result
