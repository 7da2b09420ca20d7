"""List everything that is wrong with a case before work starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.case import Case
from brainad.errors import DataError
from brainad.input_folder import make_case
from brainad.nifti import read_volume
from brainad.plan import CaseFingerprint
from brainad.preprocessing.geometry import check_declared_geometry, check_size, compare_grids
from brainad.preprocessing.labels import Expectations, read_lesion
from brainad.preprocessing.problem import Problem, has_errors, problem_from_error
from brainad.volume import Volume

# Neighbouring voxels of a scan resemble each other even where most of it is noisy air.
_LEAST_NEIGHBOUR_CORRELATION = 0.3
# A scan has thousands of different values, a label map a handful.
_MOST_LABELS = 4
_HEAD_LITRES = (0.2, 12.0)
_MOST_FILLED = 0.98
_SAMPLE = 200_000


@dataclass(frozen=True, eq=False)
class CheckedCase:
    """A case whose files were read once and looked at.

    Args:
        case: without the channels that hold nothing.
        images: float32 volumes of its channels; empty if something is wrong.
        lesion: bool on the grid of one of the channels, or None without a mask.
        problems: all that was noticed.
    """

    case: Case
    images: Mapping[str, Volume]
    lesion: Volume | None
    problems: tuple[Problem, ...]


def check_case(case: Case, expectations: Expectations | None = None) -> CheckedCase:
    """Read all files of one case and check headers, values, channels and labels.

    Nothing is raised for bad data: every finding is a `Problem`, and a case with an error
    comes back without images.
    """
    expected = expectations or Expectations()
    images, problems = _read_images(case)
    usable = {name: image for name, image in images.items() if not _is_constant(image.data)}
    for name in images.keys() - usable.keys():
        problems.append(_constant_channel(case, name))
    if images and not usable:
        problems.append(_no_image(case))
    problems += _check_channels(case, tuple(usable), expected)
    lesion = None
    if usable and not has_errors(problems):
        files = {name: case.images[name] for name in usable}
        case = replace(make_case(case.case_id, files, case.patient_id), labels=case.labels)
        usable, found = compare_grids(case, usable)
        problems += found + _check_values(case, usable)
        lesion, found = read_lesion(case, usable, expected)
        problems += found
    kept = {} if has_errors(problems) else usable
    return CheckedCase(case, kept, lesion, tuple(problems))


def check_anatomy(case: Case, measured: CaseFingerprint) -> list[Problem]:
    """Tell whether what was measured can be a head or a brain."""
    filled = np.prod(measured.shape, dtype=float) * np.prod(measured.spacing_mm)
    litres = measured.brain_fraction * float(filled) / 1e6
    file = case.images[case.reference]
    if measured.brain_fraction > _MOST_FILLED:
        message = "no background: the object fills the whole image"
    elif not _HEAD_LITRES[0] <= litres <= _HEAD_LITRES[1]:
        low, high = _HEAD_LITRES
        message = f"the object measures {litres:.2f} L; heads and brains have {low} to {high} L"
    else:
        return []
    fix = "check that this is a brain scan with a correct voxel size"
    return [Problem("error", case.case_id, "anatomy", message, fix, (file,))]


def _read_images(case: Case) -> tuple[dict[str, Volume], list[Problem]]:
    images: dict[str, Volume] = {}
    problems: list[Problem] = []
    for name, path in case.images.items():
        try:
            volume = read_volume(path)
        except DataError as error:
            problems.append(problem_from_error(error, case.case_id, "readable", path))
            continue
        if not np.isfinite(volume.data).all():
            broken = int((~np.isfinite(volume.data)).sum())
            message = f"channel {name} holds {broken} voxels that are not numbers"
            fix = "find out where they come from; scanners do not write them"
            problems.append(Problem("error", case.case_id, "finite", message, fix, (path,)))
        problems += check_declared_geometry(case.case_id, path, volume.grid)
        problems += check_size(case.case_id, path, volume.grid)
        images[name] = volume
    return images, problems


def _is_constant(data: NDArray[Any]) -> bool:
    return bool(data.min() == data.max())


def _constant_channel(case: Case, name: str) -> Problem:
    message = f"channel {name} has the same value everywhere and is treated as missing"
    return Problem(
        "warning", case.case_id, "empty channel", message, "remove it", (case.images[name],)
    )


def _no_image(case: Case) -> Problem:
    files = tuple(case.images.values())
    message = "no channel holds an image"
    return Problem("error", case.case_id, "no image", message, "export the scan again", files)


def _check_channels(case: Case, usable: Sequence[str], expected: Expectations) -> list[Problem]:
    problems = []
    found = ", ".join(f"{path.name} ({name})" for name, path in sorted(case.images.items()))
    for name in dict.fromkeys([*expected.required_channels, *expected.channels]):
        if name in usable:
            continue
        if name in expected.required_channels:
            message = f"required channel {name} is missing; found {found}"
            fix = "add it, or list fewer required_channels in dataset.json"
            problems.append(Problem("error", case.case_id, "required channel", message, fix))
        else:
            message = f"optional channel {name} is missing"
            fix = "nothing to do: the other channels are used"
            problems.append(Problem("info", case.case_id, "optional channel", message, fix))
    return problems


def _check_values(case: Case, images: Mapping[str, Volume]) -> list[Problem]:
    """Find label maps and noise that are given as scans."""
    problems = []
    for name, image in images.items():
        step = max(1, image.data.size // _SAMPLE)
        values = np.unique(image.data.ravel()[::step]).size
        if values <= _MOST_LABELS:
            message = f"channel {name} has only {values} different values: a label map, not a scan"
        elif _neighbour_correlation(image) < _LEAST_NEIGHBOUR_CORRELATION:
            message = f"channel {name} is noise: neighbouring voxels do not resemble each other"
        else:
            continue
        fix = "give the scan itself"
        file = case.images[name]
        problems.append(Problem("error", case.case_id, "not a scan", message, fix, (file,)))
    return problems


def _neighbour_correlation(image: Volume) -> float:
    """Return the correlation of voxels with their next ones along the finest axis."""
    data = np.moveaxis(image.data, int(np.argmin(image.grid.spacing_mm)), 0)
    step = max(1, data[0].size * len(data) // _SAMPLE)
    first, second = data[:-1].reshape(-1)[::step], data[1:].reshape(-1)[::step]
    spread = float(first.std()) * float(second.std())
    if spread == 0:
        return 0.0
    return float(((first - first.mean()) * (second - second.mean())).mean()) / spread
