from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.case import Case, Labels
from brainad.nifti import write_volume
from brainad.plan import CaseFingerprint
from brainad.preprocessing.integrity import check_anatomy, check_case
from brainad.preprocessing.labels import Expectations
from brainad.volume import Grid, Volume

SHAPE = (30, 34, 28)
GRID = Grid(SHAPE, np.diag([5.0, 5.0, 5.0, 1.0]))


def smooth(seed: int = 0) -> NDArray[np.float32]:
    """Return a ball that is brighter in the middle, with a little noise."""
    index = np.indices(SHAPE) - (np.array(SHAPE)[:, None, None, None] - 1) / 2
    ball = np.clip(14 - np.linalg.norm(index, axis=0), 0, None)
    noise = np.random.default_rng(seed).normal(0, 0.1, SHAPE)
    return np.where(ball > 0, 10 + ball + noise, 0).astype(np.float32)


def case_of(folder: Path, **images: NDArray[np.float32]) -> Case:
    paths = {}
    for name, data in images.items():
        paths[name] = folder / f"{name}.nii.gz"
        write_volume(paths[name], Volume(data, GRID))
    return Case("a", "p", paths, next(iter(paths)))


def only(case: Case, expected: Expectations | None = None) -> tuple[str, str, str]:
    """Return level, check and message of the only problem."""
    (problem,) = check_case(case, expected).problems
    assert problem.case_id == "a"
    return problem.level, problem.check, problem.message


def test_a_good_case(tmp_path: Path) -> None:
    case = case_of(tmp_path, T1=smooth(), FLAIR=smooth(1))
    checked = check_case(case)
    assert checked.problems == ()
    assert checked.case == case
    assert sorted(checked.images) == ["FLAIR", "T1"]
    assert np.array_equal(checked.images["T1"].data, smooth())
    assert checked.lesion is None


def test_truncated_gzip(tmp_path: Path) -> None:
    case = case_of(tmp_path, T1=smooth(), FLAIR=smooth(1))
    path = case.images["FLAIR"]
    path.write_bytes(path.read_bytes()[:-2000])
    checked = check_case(case)
    (problem,) = checked.problems
    assert (problem.level, problem.check) == ("error", "readable")
    assert problem.files == (path,)
    assert checked.images == {}


def test_damaged_content(tmp_path: Path) -> None:
    case = case_of(tmp_path, T1=smooth())
    content = bytearray(gzip.decompress(case.images["T1"].read_bytes()))
    case.images["T1"].write_bytes(gzip.compress(bytes(content[:400])))
    assert only(case)[:2] == ("error", "readable")


@pytest.mark.parametrize("shape", [(30, 34, 28, 3), (30, 34), (30, 34, 1)])
def test_4d_and_2d(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "T1.nii.gz"
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    nib.nifti1.save(nib.nifti1.Nifti1Image(data, GRID.affine), path)
    level, check, message = only(Case("a", "a", {"T1": path}, "T1"))
    assert (level, check) == ("error", "readable")
    assert "3D scan" in message or "single slice" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_numbers(tmp_path: Path, value: float) -> None:
    data = smooth()
    data[3, 4, 5] = value
    level, check, message = only(case_of(tmp_path, T1=data))
    assert (level, check) == ("error", "finite")
    assert "1 voxels" in message


def test_a_constant_channel_counts_as_missing(tmp_path: Path) -> None:
    case = case_of(tmp_path, T1=np.full(SHAPE, 7, np.float32), FLAIR=smooth())
    checked = check_case(case)
    (problem,) = checked.problems
    assert (problem.level, problem.check) == ("warning", "empty channel")
    assert sorted(checked.images) == ["FLAIR"]
    assert checked.case.images == {"FLAIR": case.images["FLAIR"]}
    assert checked.case.reference == "FLAIR"
    assert checked.case.patient_id == "p"


def test_a_case_of_constant_channels_only(tmp_path: Path) -> None:
    checked = check_case(case_of(tmp_path, T1=np.zeros(SHAPE, np.float32)))
    assert [problem.level for problem in checked.problems] == ["warning", "error"]
    assert checked.images == {}


def test_missing_channels(tmp_path: Path) -> None:
    expected = Expectations(channels=("T1", "FLAIR"), required_channels=("FLAIR",))
    level, check, message = only(case_of(tmp_path, T1=smooth()), expected)
    assert (level, check) == ("error", "required channel")
    assert "FLAIR is missing; found T1.nii.gz (T1)" in message
    assert only(case_of(tmp_path, FLAIR=smooth()), expected)[:2] == ("info", "optional channel")


def test_channels_of_different_shape_are_noticed(tmp_path: Path) -> None:
    case = case_of(tmp_path, T1=smooth(), FLAIR=smooth(1))
    write_volume(
        case.images["FLAIR"], Volume(smooth(1)[:, :, :-2], Grid((30, 34, 26), GRID.affine))
    )
    level, check, message = only(case)
    assert (level, check) == ("warning", "channel grids")
    assert "(30, 34, 26)" in message


def test_a_singular_sform(tmp_path: Path) -> None:
    case = case_of(tmp_path, T1=smooth())
    image = nib.nifti1.load(case.images["T1"])
    content = np.asarray(image.dataobj)
    broken = nib.nifti1.Nifti1Image(content, None, image.header)
    broken.header["srow_z"] = 0
    nib.nifti1.save(broken, case.images["T1"])
    level, check, message = only(case)
    assert (level, check) == ("error", "readable")
    assert "geometry" in message


def test_noise_is_no_scan(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    level, check, message = only(case_of(tmp_path, T1=noise))
    assert (level, check) == ("error", "not a scan")
    assert "noise" in message


def test_a_label_map_is_no_scan(tmp_path: Path) -> None:
    level, check, message = only(case_of(tmp_path, T1=(smooth() > 12).astype(np.float32)))
    assert (level, check) == ("error", "not a scan")
    assert "2 different values" in message


def test_the_lesion_is_read(tmp_path: Path) -> None:
    mask = tmp_path / "mask.nii.gz"
    write_volume(mask, Volume(smooth() > 20, GRID))
    case = replace(case_of(tmp_path, T1=smooth()), labels=Labels(mask=mask))
    checked = check_case(case, Expectations(label_values=frozenset({0, 1})))
    assert checked.problems == ()
    assert checked.lesion is not None
    assert np.array_equal(checked.lesion.data, smooth() > 20)


@pytest.mark.parametrize(
    ("fraction", "message"),
    [(0.25, None), (0.001, "0.00 L"), (0.02, "0.08 L"), (0.99, "no background")],
)
def test_anatomy(fraction: float, message: str | None) -> None:
    measured = CaseFingerprint(
        case_id="a",
        patient_id="a",
        channels=("T1",),
        shape=(160, 160, 160),
        spacing_mm=(1.0, 1.0, 1.0),
        orientation="RAS",
        extent_mm=(160.0, 160.0, 160.0),
        brain_fraction=fraction,
        brain_range_mm=((-70.0, 70.0), (-100.0, 70.0), (-70.0, 80.0)),
        percentiles={"T1": (0.0, 1.0, 2.0, 3.0, 4.0)},
        skull_stripped=True,
        in_template_space=True,
        label="unknown",
        label_level="none",
        slice_labels=(0, 0),
        labelled_plane=None,
        content_hash="1",
    )
    case = Case("a", "a", {"T1": Path("t1.nii")}, "T1")
    found = check_anatomy(case, measured)
    assert [problem.level for problem in found] == ([] if message is None else ["error"])
    assert message is None or message in found[0].message
    wide = replace(measured, spacing_mm=(4.0, 4.0, 4.0), brain_fraction=0.25)
    assert "65.54 L" in check_anatomy(case, wide)[0].message
