"""Read the truth of a case and check it against the image and the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brainad.case import Case
from brainad.errors import DataError
from brainad.nifti import read_grid, read_volume
from brainad.preprocessing.geometry import SAME_MM, SNAP_MM
from brainad.preprocessing.problem import Problem, problem_from_error
from brainad.volume import Grid, Volume


@dataclass(frozen=True)
class Expectations:
    """What the cases of a dataset, or the input of a model, should look like.

    Args:
        channels: all channels that a case may have; empty if nothing is known.
        required_channels: those that it must have.
        label_values: values that a mask may hold; None if nothing is known.
        anomaly_labels: values that count as lesion; None means everything above 0.
    """

    channels: tuple[str, ...] = ()
    required_channels: tuple[str, ...] = ()
    label_values: frozenset[int] | None = None
    anomaly_labels: frozenset[int] | None = None


def read_lesion(
    case: Case, images: Mapping[str, Volume], expected: Expectations
) -> tuple[Volume | None, list[Problem]]:
    """Read the mask of a case and check it, and the labels per slice, against the images.

    Args:
        case: names and labels.
        images: its channels; the mask must have been drawn on one of their grids.
        expected: what the mask may hold.

    Returns:
        The lesion, bool on the grid it was drawn on, or None without a usable mask; findings.
    """
    problems = _check_slices(case, images[case.reference])
    path = case.labels.mask
    if path is None:
        return None, problems
    try:
        labelled = read_grid(path)
        drawn_on = min(images, key=lambda name: labelled.corner_distance_mm(images[name].grid))
        grid = images[drawn_on].grid
        files = (path, case.images[drawn_on])
        problems += _check_position(case.case_id, labelled, grid, files)
        if labelled.shape != grid.shape:
            # Its voxels are not read: they may be more than fit into memory.
            return None, problems
        labels = read_volume(path)
    except DataError as error:
        return None, [*problems, problem_from_error(error, case.case_id, "readable", path)]
    problems += _check_label_values(case.case_id, labels, expected, path)
    if expected.anomaly_labels is None:
        lesion = labels.data > 0
    else:
        lesion = np.isin(labels.data, sorted(expected.anomaly_labels))
    if case.labels.label == "healthy" and lesion.any():
        message = f"the table says healthy, but the mask holds {int(lesion.sum())} anomalous voxels"
        fix = "correct cases.csv or the mask"
        problems.append(Problem("error", case.case_id, "healthy with lesion", message, fix, files))
    return Volume(lesion, grid), problems


def _check_position(
    case_id: str, labels: Grid, image: Grid, files: tuple[Path, ...]
) -> list[Problem]:
    distance = labels.corner_distance_mm(image)
    if distance <= SAME_MM:
        return []
    if distance <= SNAP_MM:
        message = f"label and image differ by {distance:.3f} mm at the corners"
        fix = "nothing to do: the image's position is used"
        return [Problem("warning", case_id, "label grid", message, fix, files)]
    message = f"the label file lies {distance:.3g} mm away from the image at the corners"
    if labels.shape != image.shape:
        message = f"the label file has shape {labels.shape}, the image {image.shape}"
    fix = "resample the label file to the image"
    return [Problem("error", case_id, "label grid", message, fix, files)]


def _check_label_values(
    case_id: str, labels: Volume, expected: Expectations, path: Path
) -> list[Problem]:
    found = np.unique(labels.data)
    allowed = expected.label_values
    wrong = (
        found[found != np.round(found)] if allowed is None else np.setdiff1d(found, list(allowed))
    )
    if wrong.size == 0:
        return []
    message = f"unexpected label values {', '.join(f'{value:g}' for value in wrong[:5])}"
    if allowed is not None:
        message += f"; dataset.json declares {', '.join(map(str, sorted(allowed)))}"
    fix = "correct the label file or the labels in dataset.json"
    return [Problem("error", case_id, "label values", message, fix, (path,))]


def _check_slices(case: Case, reference: Volume) -> list[Problem]:
    slices, axis = case.labels.slices, case.labels.slice_axis
    if not slices or axis is None:
        return []
    problems = []
    count = reference.grid.shape[axis]
    if max(slices) >= count:
        message = f"slices.csv names slice {max(slices)}, but axis {axis} has {count} slices"
        fix = "slices count from 0 along the named axis of the file as stored"
        problems.append(Problem("error", case.case_id, "slice labels", message, fix))
    if case.labels.label == "healthy" and any(slices.values()):
        message = "the table says healthy, but slices.csv names anomalous slices"
        fix = "correct cases.csv or slices.csv"
        problems.append(Problem("error", case.case_id, "healthy with lesion", message, fix))
    return problems
