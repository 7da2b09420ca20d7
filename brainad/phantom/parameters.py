"""Every random choice of one phantom, drawn before anything is rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from brainad.phantom.acquisition import Scan, sample_scan
from brainad.phantom.anatomy import Pose, make_warp, sample_pose
from brainad.phantom.appearance import Appearance, sample_appearance
from brainad.phantom.lesions import Lesion
from brainad.phantom.options import PhantomOptions, random_stream
from brainad.phantom.placement import sample_lesions


@dataclass(frozen=True)
class PhantomParameters:
    """Every random choice of one phantom; together with the options it can be replayed.

    Args:
        seed: of the phantom; also seeds the warp, the texture and the noise.
        pose: similarity transform of the head.
        scan: how the voxel grid lies.
        sharpness: exponent on the tissue fractions; sharpens the averaged template.
        fluid: weight of cerebrospinal fluid; widens or narrows sulci and ventricles.
        lesions: in native world mm.
        appearances: one per channel.
    """

    seed: int
    pose: Pose
    scan: Scan
    sharpness: float
    fluid: float
    lesions: tuple[Lesion, ...]
    appearances: Mapping[str, Appearance]


def sample_parameters(options: PhantomOptions, seed: int) -> PhantomParameters:
    """Draw every random choice of one phantom, each from a stream of its own."""
    rng = random_stream(seed, "pose")
    pose = sample_pose(rng) if options.random_pose else Pose()
    warp = make_warp(options.warp_mm, random_stream(seed, "warp"))
    tissue = random_stream(seed, "tissue")
    return PhantomParameters(
        seed=seed,
        pose=pose,
        scan=sample_scan(options, random_stream(seed, "scan")),
        sharpness=float(tissue.uniform(1.3, 1.8)),
        fluid=float(tissue.uniform(0.8, 1.3)),
        lesions=sample_lesions(options, pose, warp, random_stream(seed, "lesions")),
        appearances={
            channel: sample_appearance(channel, random_stream(seed, channel))
            for channel in options.channels
        },
    )
