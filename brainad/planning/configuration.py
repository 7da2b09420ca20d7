"""Which methods the labels allow, and which one runs when none is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brainad.case import Supervision
from brainad.errors import UsageError
from brainad.method import MethodSpec
from brainad.plan import Fingerprint
from brainad.planning.rules import Decision

TRAINING_FREE = "codegraph3d"
FROM_HEALTHY = "anyad"
FROM_SLICES = "rasalore"
FROM_VOXELS = "medsad_clip"


def can_run(supervision: Supervision, fingerprint: Fingerprint) -> Decision[bool]:
    """Tell whether the labels are enough for a level of supervision."""
    healthy = fingerprint.label_counts.get("healthy", 0)
    normal, anomalous = fingerprint.slice_label_counts
    match supervision:
        case Supervision.NONE:
            return Decision(True, "needs no labels")
        case Supervision.NORMAL:
            found = f"{healthy} healthy cases and {normal} normal slices"
            return Decision(healthy + normal > 0, f"learns from what is healthy; found {found}")
        case Supervision.SLICE:
            found = f"{normal} normal and {anomalous} anomalous slices"
            return Decision(
                min(normal, anomalous) > 0, f"needs slices of both kinds; found {found}"
            )
        case Supervision.VOXEL:
            masks = sum(case.label_level == "voxel" for case in fingerprint.cases)
            return Decision(masks > 0, f"needs lesion masks; found {masks}")


def choose_configuration(
    fingerprint: Fingerprint, specs: Mapping[str, MethodSpec[Any]]
) -> Decision[str]:
    """Choose the method that uses the labels best, or the training-free one in its place.

    Raises:
        UsageError: not even the training-free method is installed.
    """
    wanted, because = _recommend(fingerprint)
    if wanted in specs:
        return Decision(wanted, because)
    if TRAINING_FREE not in specs:
        raise UsageError(
            f"the method {TRAINING_FREE} is not installed; found {', '.join(specs) or 'none'}",
            "brainad.methods",
            "install brainad again",
        )
    return Decision(
        TRAINING_FREE, f"{because}, which asks for {wanted}; this version does not have it"
    )


def _recommend(fingerprint: Fingerprint) -> tuple[str, str]:
    healthy = fingerprint.label_counts.get("healthy", 0)
    enough_slices = can_run(Supervision.SLICE, fingerprint).value
    match fingerprint.label_level:
        case "voxel":
            return FROM_VOXELS, "there are lesion masks"
        case "slice" if enough_slices:
            return FROM_SLICES, "there are labels per slice"
        case "case" | "slice" | "healthy" if healthy:
            return FROM_HEALTHY, f"{healthy} cases are known to be healthy"
        case "case" | "slice":
            return TRAINING_FREE, "labels name no healthy example to learn from"
        case _:
            return TRAINING_FREE, "there are no labels"
