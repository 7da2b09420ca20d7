"""Measure cases and put the measurements of a dataset together; nothing is decided here."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import get_args

import nibabel as nib
import numpy as np

from brainad.case import Case, Diagnosis, labelled_plane
from brainad.errors import UsageError
from brainad.files import stat_signature, value_hash
from brainad.plan import FORMAT_VERSION, CaseFingerprint, Fingerprint, LabelLevel
from brainad.planning.anatomy import Anatomy, measure_anatomy, thinned
from brainad.volume import Grid, Volume

PERCENTILES = (0.5, 25.0, 50.0, 75.0, 99.5)

Five = tuple[float, float, float, float, float]


def measure_case(
    case: Case, images: Mapping[str, Volume], lesion: Volume | None, template: Volume
) -> CaseFingerprint:
    """Measure one case.

    Args:
        case: names and labels.
        images: its channels, float32, finite, none constant.
        lesion: bool on the grid of one of the channels, or None without a mask.
        template: float32 skull-stripped template, 0 outside the brain.
    """
    reference = images[case.reference]
    grid = reference.grid
    anatomy = measure_anatomy(reference, template)
    label, level = _label(case, lesion)
    return CaseFingerprint(
        case_id=case.case_id,
        patient_id=case.patient_id,
        channels=tuple(sorted(images)),
        shape=grid.shape,
        spacing_mm=grid.spacing_mm,
        orientation="".join(nib.aff2axcodes(grid.affine)),
        extent_mm=_extent_along_world(grid),
        brain_fraction=anatomy.fraction,
        brain_range_mm=anatomy.range_mm,
        percentiles={
            name: _percentiles(image, anatomy, template) for name, image in images.items()
        },
        skull_stripped=anatomy.skull_stripped,
        in_template_space=anatomy.in_template_space,
        label=label,
        label_level=level,
        slice_labels=_count_slices(case, label, lesion, grid),
        labelled_plane=labelled_plane(case.labels, grid),
        content_hash=_hash_voxels(images),
    )


def assemble(cases: Sequence[CaseFingerprint], inputs: str) -> Fingerprint:
    """Put the measurements of all readable cases together.

    Args:
        cases: in any order.
        inputs: what `input_hash` returned for the dataset.

    Raises:
        UsageError: there is no case.
    """
    if not cases:
        raise UsageError("no readable case is left", "", "see the list of problems above")
    ordered = tuple(sorted(cases, key=lambda case: case.case_id))
    count = len(ordered)
    channels = Counter(name for case in ordered for name in case.channels)
    labels = Counter(case.label for case in ordered)
    levels = [get_args(LabelLevel).index(case.label_level) for case in ordered]
    return Fingerprint(
        format_version=FORMAT_VERSION,
        created_by=f"brainad {version('brainad')}",
        input_hash=inputs,
        cases=ordered,
        channel_coverage={name: channels[name] / count for name in sorted(channels)},
        label_counts={name: labels[name] for name in get_args(Diagnosis)},
        label_level=get_args(LabelLevel)[max(levels)],
        slice_label_counts=(
            sum(case.slice_labels[0] for case in ordered),
            sum(case.slice_labels[1] for case in ordered),
        ),
        skull_stripped_share=sum(case.skull_stripped for case in ordered) / count,
        template_share=sum(case.in_template_space for case in ordered) / count,
    )


def input_hash(cases: Sequence[Case]) -> str:
    """Hash names, sizes and times of all files and all explicit labels: cheap, voxels unread."""
    return value_hash(
        [
            [
                case.case_id,
                case.patient_id,
                case.labels.label,
                sorted(case.labels.slices.items()),
                case.labels.slice_axis,
                {name: stat_signature(path) for name, path in case.images.items()},
                stat_signature(case.labels.mask) if case.labels.mask else None,
            ]
            for case in sorted(cases, key=lambda case: case.case_id)
        ]
    )


def _label(case: Case, lesion: Volume | None) -> tuple[Diagnosis, LabelLevel]:
    """Apply the order of trust: explicit table, then mask, then slices, then unknown."""
    anomalous = lesion is not None and bool(lesion.data.any())
    if case.labels.label != "unknown":
        label: Diagnosis = case.labels.label
    elif anomalous or any(case.labels.slices.values()):
        label = "unhealthy"
    else:
        label = "healthy" if lesion is not None else "unknown"
    if anomalous:
        return label, "voxel"
    if case.labels.slices:
        return label, "slice"
    by_diagnosis: dict[Diagnosis, LabelLevel] = {
        "healthy": "healthy",
        "unhealthy": "case",
        "unknown": "none",
    }
    return label, by_diagnosis[label]


def _count_slices(
    case: Case, label: Diagnosis, lesion: Volume | None, grid: Grid
) -> tuple[int, int]:
    """Return the number of (normal, anomalous) slices; from a mask, along the axial axis."""
    if case.labels.slices:
        anomalous = sum(case.labels.slices.values())
        return len(case.labels.slices) - anomalous, anomalous
    grid = grid if lesion is None else lesion.grid
    axis = grid.array_axis(2)
    if label == "healthy":
        return grid.shape[axis], 0
    if lesion is None:
        return 0, 0
    others = tuple(other for other in range(3) if other != axis)
    anomalous = int(lesion.data.any(axis=others).sum())
    return grid.shape[axis] - anomalous, anomalous


def _extent_along_world(grid: Grid) -> tuple[float, float, float]:
    corners = grid.corners_mm()
    x, y, z = np.ptp(corners, axis=0) + np.abs(grid.affine[:3, :3]).sum(axis=1)
    return float(x), float(y), float(z)


def _percentiles(image: Volume, anatomy: Anatomy, template: Volume) -> Five:
    """Measure inside the reference's foreground, or inside its own where the grids differ."""
    thin = thinned(image)
    foreground = anatomy.foreground
    if not thin.grid.matches(foreground.grid):
        foreground = measure_anatomy(image, template).foreground
    inside = thin.data[foreground.data] if foreground.data.any() else thin.data.ravel()
    a, b, c, d, e = (float(value) for value in np.percentile(inside, PERCENTILES))
    return a, b, c, d, e


def _hash_voxels(images: Mapping[str, Volume]) -> str:
    """Identify values and shapes, whatever the files and channels are called."""
    digests = sorted(
        hashlib.sha256(
            str(image.grid.shape).encode() + np.ascontiguousarray(image.data).tobytes()
        ).hexdigest()
        for image in images.values()
    )
    return hashlib.sha256("".join(digests).encode()).hexdigest()
