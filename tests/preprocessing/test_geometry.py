from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.case import Case
from brainad.preprocessing.geometry import check_declared_geometry, check_size, compare_grids
from brainad.volume import Grid, Volume

SHAPE = (30, 34, 28)
HEAD = np.diag([5.0, 5.0, 5.0, 1.0])


def grid(affine: NDArray[np.float64] = HEAD, shape: tuple[int, int, int] = SHAPE) -> Grid:
    return Grid(shape, affine)


def shifted(*millimetres: float) -> NDArray[np.float64]:
    affine = HEAD.copy()
    affine[:3, 3] = millimetres
    return affine


def write(
    folder: Path,
    sform: NDArray[np.float64] | None,
    qform: NDArray[np.float64] | None,
    spacing_mm: float = 5.0,
) -> Path:
    image = nib.nifti1.Nifti1Image(np.zeros(SHAPE, dtype=np.float32), None)
    image.header.set_zooms((spacing_mm,) * 3)
    if qform is not None:
        image.set_qform(qform, code=1)
    image.set_sform(sform, code=0 if sform is None else 1)
    path = folder / "a.nii"
    nib.nifti1.save(image, path)
    return path


@pytest.mark.parametrize(
    ("spacing_mm", "shape", "checks"),
    [
        ((5, 5, 5), SHAPE, []),
        ((1, 1, 6), (200, 220, 24), []),
        ((0.1, 1, 1), (1000, 200, 200), ["spacing"]),
        ((1, 1, 12), (200, 200, 12), ["spacing"]),
        ((1, 1, 1), (60, 200, 200), ["extent"]),
        ((1, 1, 1), (200, 200, 400), ["extent"]),
        ((0.001, 0.001, 0.001), SHAPE, ["spacing", "extent"]),
    ],
)
def test_size(
    spacing_mm: tuple[float, float, float], shape: tuple[int, int, int], checks: list[str]
) -> None:
    found = check_size("a", Path("a.nii"), grid(np.diag([*spacing_mm, 1.0]), shape))
    assert [problem.check for problem in found] == checks
    assert all(problem.level == "warning" for problem in found)


def test_consistent_headers_are_silent(tmp_path: Path) -> None:
    for sform, qform in ((HEAD, None), (None, HEAD), (HEAD, HEAD)):
        assert check_declared_geometry("a", write(tmp_path, sform, qform), grid()) == []


def test_a_header_without_orientation(tmp_path: Path) -> None:
    (problem,) = check_declared_geometry("a", write(tmp_path, None, None), grid())
    assert (problem.level, problem.check) == ("warning", "orientation unknown")


def test_sform_and_qform_disagree(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD, shifted(0, 20, 0))
    (problem,) = check_declared_geometry("a", path, grid())
    assert problem.level == "warning"
    assert "20 mm" in problem.message


@pytest.mark.parametrize(("factor", "level"), [(1.1, "warning"), (10.0, "error"), (0.1, "error")])
def test_wrong_sform_scale(tmp_path: Path, factor: float, level: str) -> None:
    sform = np.diag([5 * factor, 5.0, 5.0, 1.0])
    (problem,) = check_declared_geometry("a", write(tmp_path, sform, None), grid(sform))
    assert (problem.level, problem.check) == (level, "sform")
    assert problem.files


@pytest.mark.parametrize(
    ("second", "level", "snapped"),
    [
        (grid(), None, True),
        (grid(shifted(0, 0, 0.005)), None, False),
        (grid(shifted(0, 0, 0.3)), "warning", True),
        (grid(shifted(0, 0, 30)), "warning", False),
        (grid(HEAD, (30, 34, 27)), "warning", False),
        (grid(shifted(0, 0, 300)), "error", False),
    ],
)
def test_channels_on_different_grids(second: Grid, level: str | None, snapped: bool) -> None:
    case = Case("a", "a", {"T1": Path("t1"), "T2": Path("t2")}, "T1")
    images = {
        "T1": Volume(np.zeros(SHAPE, np.float32), grid()),
        "T2": Volume(np.zeros(second.shape, np.float32), second),
    }
    aligned, problems = compare_grids(case, images)
    assert [problem.level for problem in problems] == ([] if level is None else [level])
    assert aligned["T2"].grid.matches(grid(), 1e-9) == snapped
    assert aligned["T2"].data is images["T2"].data
