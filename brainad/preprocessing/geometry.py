"""Check where files claim their voxels to be, alone and against each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from brainad.case import Case
from brainad.preprocessing.problem import Level, Problem
from brainad.volume import Grid, Volume

# Positions closer than the first are the same, up to the second they are meant to be the same.
SAME_MM = 0.01
SNAP_MM = 1.0

_SPACING_MM = (0.2, 10.0)
_EXTENT_MM = (80.0, 350.0)
# Registration programs scale an sform by up to a fifth; beyond that it is a mistake.
_SPACING_WARNING = 1.05
_SPACING_ERROR = 1.5
_LEAST_OVERLAP = 0.5


def check_size(case_id: str, path: Path, grid: Grid) -> list[Problem]:
    """Compare voxel size and field of view with those of head scans."""
    problems = []
    for name, values, (low, high) in (
        ("spacing", grid.spacing_mm, _SPACING_MM),
        ("extent", grid.extent_mm, _EXTENT_MM),
    ):
        if min(values) < low or max(values) > high:
            shown = " x ".join(f"{value:.4g}" for value in values)
            message = f"{name} {shown} mm; heads have {low:g} to {high:g} mm per axis"
            fix = "check that this is a brain scan with a correct voxel size"
            problems.append(Problem("warning", case_id, name, message, fix, (path,)))
    return problems


def check_declared_geometry(case_id: str, path: Path, grid: Grid) -> list[Problem]:
    """Compare the positions that one header declares: sform, qform and voxel sizes.

    Args:
        case_id: the case.
        path: a NIfTI file.
        grid: the grid that is used for it.
    """
    header = nib.nifti1.load(path).header
    sform = header.get_sform(coded=True)[0]
    try:
        qform = header.get_qform(coded=True)[0]
    except HeaderDataError:
        qform = None
    if sform is None and qform is None:
        message = "the file does not say how the head lies (sform and qform codes are 0)"
        fix = "convert it again from its source; left and right may be swapped"
        return [Problem("warning", case_id, "orientation unknown", message, fix, (path,))]
    if sform is None:
        return []
    problems = []
    ratio = np.array(grid.spacing_mm) / np.abs(header.get_zooms()[:3]).clip(1e-9)
    worst = float(np.exp(np.abs(np.log(ratio)).max()))
    if worst > _SPACING_WARNING:
        message = f"the sform's voxel size is {worst:.3g} times off the header's pixdim"
        level: Level = "error" if worst > _SPACING_ERROR else "warning"
        fix = "repair the sform, or convert the file again from its source"
        problems.append(Problem(level, case_id, "sform", message, fix, (path,)))
    distance = 0.0 if qform is None else grid.corner_distance_mm(Grid(grid.shape, qform))
    if distance > SNAP_MM:
        message = f"sform and qform differ by {distance:.3g} mm at the corners; the sform is used"
        fix = "set both to the same matrix"
        problems.append(Problem("warning", case_id, "sform", message, fix, (path,)))
    return problems


def compare_grids(
    case: Case, images: Mapping[str, Volume]
) -> tuple[dict[str, Volume], list[Problem]]:
    """Compare the channels' grids with the reference channel's and snap small differences.

    Channels on other grids are separate scans that co-registration can bring together, as
    long as they show the same region.
    """
    reference = images[case.reference].grid
    snapped: dict[str, Volume] = {}
    problems = []
    for name, image in images.items():
        distance = image.grid.corner_distance_mm(reference)
        files = (case.images[name], case.images[case.reference])
        snapped[name] = image
        if distance <= SAME_MM:
            continue
        if distance <= SNAP_MM:
            snapped[name] = Volume(image.data, reference)
            message = f"{name} and {case.reference} differ by {distance:.3f} mm at the corners"
            fix = f"nothing to do: the position of {case.reference} is used for both"
            problems.append(Problem("warning", case.case_id, "channel grids", message, fix, files))
        elif _overlap(image.grid, reference) < _LEAST_OVERLAP:
            message = f"{name} and {case.reference} show different regions of space"
            fix = "repair the sform of one of them, or co-register them"
            problems.append(Problem("error", case.case_id, "channel grids", message, fix, files))
        else:
            difference = _difference(image.grid, reference)
            message = f"{name} and {case.reference} lie on different grids: {difference}"
            fix = "nothing to do if they are separate scans: they are co-registered"
            problems.append(Problem("warning", case.case_id, "channel grids", message, fix, files))
    return snapped, problems


def _difference(grid: Grid, reference: Grid) -> str:
    if grid.shape != reference.shape:
        return f"shapes {grid.shape} and {reference.shape}"
    return f"{grid.corner_distance_mm(reference):.3g} mm apart at the corners"


def _overlap(one: Grid, other: Grid) -> float:
    """Return the shared share of the smaller of two world-aligned bounding boxes."""
    corners = [grid.corners_mm() for grid in (one, other)]
    low = np.maximum(*(points.min(axis=0) for points in corners))
    high = np.minimum(*(points.max(axis=0) for points in corners))
    smaller = min(float(np.prod(np.ptp(points, axis=0))) for points in corners)
    return float(np.prod((high - low).clip(0))) / smaller
