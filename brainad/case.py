"""One examination on its way through the pipeline: found, prepared, or prepared for training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from brainad.volume import Grid

Diagnosis = Literal["healthy", "unhealthy", "unknown"]
Plane = Literal["sagittal", "coronal", "axial"]
# Slices along world axis 0, 1, 2.
PLANES: tuple[Plane, Plane, Plane] = ("sagittal", "coronal", "axial")


class Supervision(StrEnum):
    """How much of the truth a method may see while fitting."""

    NONE = "none"
    NORMAL = "normal"
    SLICE = "slice"
    VOXEL = "voxel"


@dataclass(frozen=True)
class Labels:
    """What is known about a case.

    Args:
        label: the diagnosis, from a table or derived from the mask.
        mask: file with the lesion mask, if there is one.
        slices: slice index (of the file as stored) to "shows an anomaly".
        slice_axis: array axis of the file that the slice indices count along.
    """

    label: Diagnosis = "unknown"
    mask: Path | None = None
    slices: Mapping[int, bool] = field(default_factory=dict)
    slice_axis: int | None = None


def labelled_plane(labels: Labels, grid: Grid) -> Plane | None:
    """Tell the plane of the labelled slices; None without labels per slice.

    Args:
        labels: of a case.
        grid: of the file that they count on.
    """
    if not labels.slices or labels.slice_axis is None:
        return None
    return PLANES[grid.world_axis(labels.slice_axis)]


@dataclass(frozen=True)
class Case:
    """Files of one examination.

    Args:
        case_id: unique name; outputs are named after it.
        patient_id: groups several examinations of one person.
        images: channel name to file, at least one.
        reference: channel whose grid the outputs are written on.
        labels: what is known about the case.
    """

    case_id: str
    patient_id: str
    images: Mapping[str, Path]
    reference: str
    labels: Labels = field(default_factory=Labels)

    def __post_init__(self) -> None:
        if self.reference not in self.images:
            raise ValueError(f"reference {self.reference} is not among {sorted(self.images)}")


@dataclass(frozen=True, eq=False)
class Placement:
    """How a case was moved onto the working grid: the ticket home.

    Args:
        native: grid of the reference channel's file.
        working: grid of the prepared arrays.
        working_from_native: (4, 4) world mm of the file to world mm of the working space;
            affine, hence exactly invertible.
    """

    native: Grid
    working: Grid
    working_from_native: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """Normalised images of one case on the working grid.

    Args:
        case_id: name of the case.
        images: channel name to (x, y, z) float32, 0 outside the brain.
        brain: (x, y, z) bool.
        placement: how to get back to the file's own grid.
    """

    case_id: str
    images: Mapping[str, NDArray[np.float32]]
    brain: NDArray[np.bool_]
    placement: Placement


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """A prepared case with as much truth as a method may see.

    Args:
        case: the prepared case.
        usable: (slices,) bool, slices the method may learn from.
        target: None, (slices,) bool or (x, y, z) bool, as the supervision level says.
    """

    case: PreparedCase
    usable: NDArray[np.bool_]
    target: NDArray[np.bool_] | None
