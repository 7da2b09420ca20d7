"""The rules of preprocessing: one pure function per decision, each with its reason."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np

from brainad.errors import UsageError
from brainad.plan import Fingerprint
from brainad.planning.anatomy import Box

BrainMask = Literal["nonzero", "hd-bet", "per-case"]
SliceAxis = Literal[0, 1, 2]

# Lesions of most kinds stand out more in the first ones.
_MOST_TELLING = ("FLAIR", "T2", "T1CE", "T1", "DWI", "ADC", "SWI", "PD")
_COMMON_SHARE = 0.9
# After an affine registration brains still differ from the template's by a few millimetres.
_MARGIN_MM = 6.0
# Encoders see 14 x 14 voxels as one token, so the grid is made of whole cells of 14.
_CELL_VOXELS = 14
_CELL_MM = 14.0
_AXES: Mapping[str, SliceAxis] = {"sagittal": 0, "coronal": 1, "axial": 2}

T = TypeVar("T")


@dataclass(frozen=True)
class Decision(Generic[T]):
    """What was decided and why, the evidence included."""

    value: T
    because: str

    def sentence(self, topic: str) -> str:
        """Return one line of the plan's reasons."""
        return f"{topic} = {self.value}: {self.because}"


def choose_channels(fingerprint: Fingerprint) -> Decision[tuple[str, ...]]:
    """Prepare every channel that exists; those of nearly all cases first, then by contrast."""
    coverage = fingerprint.channel_coverage
    order = {name: position for position, name in enumerate(_MOST_TELLING)}
    common = _COMMON_SHARE * max(coverage.values())
    names = sorted(
        coverage, key=lambda name: (coverage[name] < common, order.get(name, len(order)), name)
    )
    shares = ", ".join(f"{name} in {coverage[name]:.0%} of the cases" for name in names)
    return Decision(tuple(names), f"{shares}; the first is used where one channel is enough")


def choose_brain_mask(
    fingerprint: Fingerprint, declared: bool | Literal["auto"] = "auto"
) -> Decision[BrainMask]:
    """Strip skulls where there are any, unless the user knows better."""
    share = fingerprint.skull_stripped_share
    if declared != "auto":
        state = "skull-stripped" if declared else "not skull-stripped"
        return Decision(
            "nonzero" if declared else "hd-bet",
            f"declared as {state}; {share:.0%} of the cases were measured as stripped",
        )
    if share == 1:
        return Decision("nonzero", "all cases are skull-stripped (measured)")
    if share == 0:
        return Decision("hd-bet", "no case is skull-stripped (measured)")
    return Decision("per-case", f"{share:.0%} of the cases are skull-stripped, the others are not")


def choose_bias_field(fingerprint: Fingerprint, brain_mask: BrainMask) -> Decision[bool]:
    """Correct the bias field of raw heads; the correction needs intensities of 0 and more."""
    darkest = [five[0] for case in fingerprint.cases for five in case.percentiles.values()]
    if float(np.median(darkest)) < 0:
        return Decision(False, "intensities are below 0, so they are normalised already")
    if brain_mask == "nonzero":
        return Decision(False, "skull-stripped data have usually been corrected already")
    return Decision(True, "raw heads carry the coil's shading")


def choose_coregistration(fingerprint: Fingerprint, brain_mask: BrainMask) -> Decision[bool]:
    """Align channels with each other unless they come aligned."""
    most = max(len(case.channels) for case in fingerprint.cases)
    if most == 1:
        return Decision(False, "every case has one channel")
    if brain_mask == "nonzero":
        return Decision(False, "channels of skull-stripped data have been aligned before")
    return Decision(True, f"up to {most} channels per case; people move between scans")


def choose_registration(fingerprint: Fingerprint) -> Decision[Literal["none", "affine"]]:
    """Register to the template unless every case lies there already."""
    share = fingerprint.template_share
    if share == 1:
        return Decision("none", "all cases lie in template space (measured)")
    return Decision("affine", f"{share:.0%} of the cases lie in template space (measured)")


def choose_working_grid(
    fingerprint: Fingerprint,
    template_box_mm: Box,
    registration: str,
    spacing_mm: float | None = None,
) -> Decision[tuple[tuple[int, int, int], float]]:
    """Choose whole cells of 14 voxels around the template's brain so that no brain is cut.

    Args:
        fingerprint: of the dataset.
        template_box_mm: lowest and highest position of the template's brain per axis; the
            working grid is centred on the middle of this box.
        registration: `none` means that the measured positions are final.
        spacing_mm: voxel edge that the user asks for.

    Returns:
        Shape along x, y, z and the voxel edge in mm.

    Raises:
        UsageError: the voxel edge is not a sensible length.
    """
    if spacing_mm is not None and not 0.3 <= spacing_mm <= 4:
        raise UsageError(
            f"target spacing {spacing_mm:g} mm; 0.3 to 4 mm is possible",
            "-overwrite_target_spacing",
            "leave it out, or choose about 0.7",
        )
    cell_mm = _CELL_MM if spacing_mm is None else spacing_mm * _CELL_VOXELS
    extents = _needed_extents(fingerprint, template_box_mm, registration)
    x, y, z = (_CELL_VOXELS * math.ceil(extent / cell_mm) for extent in extents)
    needed = " x ".join(f"{extent:.0f}" for extent in extents)
    source = "" if spacing_mm is None else ", voxel edge as asked for"
    return Decision(
        ((x, y, z), cell_mm / _CELL_VOXELS),
        f"brains need {needed} mm with a margin of {_MARGIN_MM:g} mm; "
        f"cells of {cell_mm:g} mm are {_CELL_VOXELS} voxels{source}",
    )


def _needed_extents(
    fingerprint: Fingerprint, template_box_mm: Box, registration: str
) -> tuple[float, ...]:
    """Return edge lengths of a box around the template's centre that holds every brain."""
    boxes = [template_box_mm]
    if registration == "none":
        boxes += [case.brain_range_mm for case in fingerprint.cases]
    centres = [(low + high) / 2 for low, high in template_box_mm]
    return tuple(
        2 * (_MARGIN_MM + max(max(abs(end - centre) for end in box[axis]) for box in boxes))
        for axis, centre in enumerate(centres)
    )


def choose_slice_axis(fingerprint: Fingerprint, declared: str) -> Decision[SliceAxis]:
    """Cut where labels per slice were given; without any axially, as is the custom."""
    if declared != "auto":
        return Decision(_AXES[declared], f"dataset.json says {declared}")
    labelled = Counter(case.labelled_plane for case in fingerprint.cases if case.labelled_plane)
    if not labelled:
        return Decision(_AXES["axial"], "axial slices are the custom of the field")
    (plane, count), *others = labelled.most_common()
    because = f"{plane} slices of {count} cases are labelled"
    if others:
        because += "; " + ", ".join(f"{name} ones of {n}" for name, n in others) + " are no use"
    return Decision(_AXES[plane], because)


def choose_landmarks(
    channels: Sequence[str], available: Mapping[str, tuple[float, ...]]
) -> Decision[dict[str, tuple[float, ...]]]:
    """Standardise histograms against the built-in reference of each channel.

    Any fixed increasing reference makes scans of one contrast comparable, so a channel without
    its own gets the mean of the built-in ones.
    """
    known = [name for name in channels if name in available]
    missing = [name for name in channels if name not in available]
    landmarks = {name: available[name] for name in known}
    because = f"built-in reference for {', '.join(known) or 'no channel'}"
    if missing and available:
        mean = tuple(float(np.mean(values)) for values in zip(*available.values(), strict=True))
        landmarks |= dict.fromkeys(missing, mean)
        because += f"; {', '.join(missing)} has none of its own and gets the mean of all"
    return Decision(landmarks, because)
