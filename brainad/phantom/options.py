"""What a phantom shall be: `PhantomOptions`, and the named random streams of one seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np

from brainad.errors import UsageError
from brainad.phantom.appearance import CONTRASTS

LesionKind = Literal["glioma", "metastases", "stroke", "white_matter_spots"]
MillimetreRange = tuple[float, float]

_RADIUS_MM: Mapping[LesionKind, MillimetreRange] = MappingProxyType(
    {
        "glioma": (6.0, 20.0),
        "metastases": (3.0, 8.0),
        "stroke": (8.0, 18.0),
        "white_matter_spots": (2.0, 4.5),
    }
)
# More would not find room next to each other.
_LARGEST_MM: Mapping[LesionKind, float] = MappingProxyType(
    {"glioma": 30.0, "metastases": 10.0, "stroke": 25.0, "white_matter_spots": 6.0}
)


@dataclass(frozen=True)
class PhantomOptions:
    """Describe the phantoms of a cohort; what varies between them comes from the seed.

    Args:
        channels: canonical names out of T1, T1CE, T2, FLAIR.
        lesion: kind of lesion; None makes a healthy phantom.
        lesion_radius_mm: smallest and largest radius in mm, as the radius of a sphere with
            the volume of one lesion, oedema included, before the brain's outline and the
            ventricles cut into it; None takes the default of the kind.
        spacing_mm: voxel edges to the right, to the front and up, before reorientation;
            edges longer than the shortest one average what lies inside (thick slices).
        warp_mm: root mean square of the diffeomorphic displacement; 0 leaves the anatomy.
        random_pose: rotate, scale and shift the head.
        oblique_degrees: largest rotation of the voxel grid about each axis.
        random_orientation: flip and swap the voxel axes.
        head: T1 head with skull in MNI space, whose extracranial tissue is added;
            None makes skull-stripped phantoms, 0 outside the brain.

    Raises:
        UsageError: a channel or lesion is unknown, or a number out of range.
    """

    channels: tuple[str, ...] = ("T1",)
    lesion: LesionKind | None = None
    lesion_radius_mm: MillimetreRange | None = None
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    warp_mm: float = 3.0
    random_pose: bool = True
    oblique_degrees: float = 0.0
    random_orientation: bool = False
    head: Path | None = None

    def __post_init__(self) -> None:
        known = sorted(CONTRASTS)
        if not self.channels or not set(self.channels) <= set(known):
            raise _bad_option("channels", self.channels, f"some of {known}")
        if self.lesion is not None and self.lesion not in get_args(LesionKind):
            raise _bad_option("lesion", self.lesion, f"None or one of {get_args(LesionKind)}")
        if not 0.5 <= min(self.spacing_mm) <= max(self.spacing_mm) <= 10:
            raise _bad_option("spacing_mm", self.spacing_mm, "0.5 to 10 mm")
        if not 0 <= self.warp_mm <= 5:
            raise _bad_option("warp_mm", self.warp_mm, "0 to 5 mm")
        if not 0 <= self.oblique_degrees <= 45:
            raise _bad_option("oblique_degrees", self.oblique_degrees, "0 to 45 degrees")
        if self.lesion is not None and self.lesion_radius_mm is not None:
            smallest, largest = self.lesion_radius_mm
            if not 1 <= smallest <= largest <= _LARGEST_MM[self.lesion]:
                allowed = f"1 to {_LARGEST_MM[self.lesion]:g} mm, ascending, for {self.lesion}"
                raise _bad_option("lesion_radius_mm", self.lesion_radius_mm, allowed)

    @property
    def radius_range_mm(self) -> MillimetreRange:
        """Smallest and largest lesion radius in mm; (0, 0) for a healthy phantom."""
        if self.lesion is None:
            return 0.0, 0.0
        return self.lesion_radius_mm or _RADIUS_MM[self.lesion]


def random_stream(seed: int, purpose: str) -> np.random.Generator:
    """Return the generator of one purpose, so that one choice never shifts another.

    Args:
        seed: of the phantom, 0 or greater.
        purpose: any name; different names give independent generators.
    """
    return np.random.default_rng([seed, *purpose.encode()])


def _bad_option(name: str, value: object, allowed: str) -> UsageError:
    return UsageError(f"phantom option {name} is {value}", fix=f"choose {allowed}")
