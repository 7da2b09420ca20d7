from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.case import Case, Diagnosis, Labels
from brainad.nifti import write_volume
from brainad.preprocessing.labels import Expectations, read_lesion
from brainad.volume import Grid, Volume

SHAPE = (6, 7, 5)
GRID = Grid(SHAPE, np.eye(4))
IMAGES = {"T1": Volume(np.zeros(SHAPE, np.float32), GRID)}


def case(
    mask: Path | None, label: Diagnosis = "unknown", slices: Mapping[int, bool] | None = None
) -> Case:
    labels = Labels(label, mask, slices or {}, 2 if slices else None)
    return Case("a", "a", {"T1": Path("t1.nii")}, "T1", labels)


def painted(values: Mapping[tuple[int, int, int], float]) -> NDArray[np.float32]:
    data = np.zeros(SHAPE, np.float32)
    for index, value in values.items():
        data[index] = value
    return data


def write(folder: Path, data: NDArray[np.float32], grid: Grid = GRID) -> Path:
    path = folder / "label.nii.gz"
    write_volume(path, Volume(data, grid))
    return path


def test_every_value_above_zero_is_a_lesion(tmp_path: Path) -> None:
    path = write(tmp_path, painted({(1, 2, 3): 1, (2, 2, 2): 4}))
    lesion, problems = read_lesion(case(path), IMAGES, Expectations())
    assert lesion is not None
    assert lesion.data.dtype == np.bool_
    assert np.argwhere(lesion.data).tolist() == [[1, 2, 3], [2, 2, 2]]
    assert problems == []


def test_only_the_named_values_are_a_lesion(tmp_path: Path) -> None:
    path = write(tmp_path, painted({(1, 2, 3): 1, (2, 2, 2): 4}))
    expected = Expectations(label_values=frozenset({0, 1, 4}), anomaly_labels=frozenset({4}))
    lesion, problems = read_lesion(case(path), IMAGES, expected)
    assert lesion is not None
    assert np.argwhere(lesion.data).tolist() == [[2, 2, 2]]
    assert problems == []


@pytest.mark.parametrize(("allowed", "value"), [(frozenset({0, 1}), 3), (None, 0.5)])
def test_unexpected_values(tmp_path: Path, allowed: frozenset[int] | None, value: float) -> None:
    path = write(tmp_path, painted({(1, 1, 1): value}))
    _, (problem,) = read_lesion(case(path), IMAGES, Expectations(label_values=allowed))
    assert (problem.level, problem.check) == ("error", "label values")
    assert f"{value:g}" in problem.message


@pytest.mark.parametrize(("shift_mm", "level"), [(0.005, None), (0.5, "warning"), (3.0, "error")])
def test_label_position(tmp_path: Path, shift_mm: float, level: str | None) -> None:
    affine = np.eye(4)
    affine[0, 3] = shift_mm
    path = write(tmp_path, painted({}), Grid(SHAPE, affine))
    _, problems = read_lesion(case(path), IMAGES, Expectations())
    assert [problem.level for problem in problems] == ([] if level is None else [level])


def test_label_of_another_shape(tmp_path: Path) -> None:
    path = write(tmp_path, np.zeros((6, 7, 6), np.float32), Grid((6, 7, 6), np.eye(4)))
    lesion, (problem,) = read_lesion(case(path), IMAGES, Expectations())
    assert lesion is None
    assert problem.level == "error"
    assert "(6, 7, 6)" in problem.message


def test_the_voxels_of_a_label_of_another_shape_are_not_read(tmp_path: Path) -> None:
    """A damaged header may claim more of them than fit into memory."""
    path = tmp_path / "label.nii"
    write_volume(path, Volume(painted({}), GRID))
    content = bytearray(path.read_bytes())
    struct.pack_into("<8h", content, 40, 3, 1000, 1000, 1000, 1, 1, 1, 1)
    path.write_bytes(content)
    lesion, (problem,) = read_lesion(case(path), IMAGES, Expectations())
    assert lesion is None
    assert (problem.level, problem.check) == ("error", "label grid")
    assert "(1000, 1000, 1000)" in problem.message


def test_a_mask_may_lie_on_another_channels_grid(tmp_path: Path) -> None:
    fine = Grid((12, 14, 10), np.diag([0.5, 0.5, 0.5, 1.0]))
    images = {**IMAGES, "FLAIR": Volume(np.zeros(fine.shape, np.float32), fine)}
    path = write(tmp_path, np.ones(fine.shape, np.float32), fine)
    both = Case("a", "a", {"T1": Path("t"), "FLAIR": Path("f")}, "T1", Labels(mask=path))
    lesion, problems = read_lesion(both, images, Expectations())
    assert lesion is not None
    assert lesion.grid.matches(fine)
    assert problems == []


def test_healthy_with_a_lesion_names_both_files(tmp_path: Path) -> None:
    path = write(tmp_path, painted({(1, 1, 1): 1}))
    _, (problem,) = read_lesion(case(path, "healthy"), IMAGES, Expectations())
    assert (problem.level, problem.check) == ("error", "healthy with lesion")
    assert problem.files == (path, Path("t1.nii"))


def test_healthy_with_an_empty_mask(tmp_path: Path) -> None:
    path = write(tmp_path, painted({}))
    lesion, problems = read_lesion(case(path, "healthy"), IMAGES, Expectations())
    assert lesion is not None
    assert not lesion.data.any()
    assert problems == []


def test_unreadable_mask(tmp_path: Path) -> None:
    path = tmp_path / "label.nii.gz"
    path.write_bytes(b"no image")
    lesion, (problem,) = read_lesion(case(path), IMAGES, Expectations())
    assert lesion is None
    assert (problem.level, problem.check) == ("error", "readable")


def test_slice_labels() -> None:
    assert read_lesion(case(None, slices={0: False, 4: True}), IMAGES, Expectations()) == (None, [])
    _, (beyond,) = read_lesion(case(None, slices={5: True}), IMAGES, Expectations())
    assert (beyond.level, beyond.check) == ("error", "slice labels")
    _, (against,) = read_lesion(case(None, "healthy", {1: True}), IMAGES, Expectations())
    assert (against.level, against.check) == ("error", "healthy with lesion")
