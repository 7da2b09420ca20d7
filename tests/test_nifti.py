from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from brainad.errors import DataError
from brainad.nifti import (
    case_stem,
    image_from_volume,
    read_grid,
    read_volume,
    volume_from_image,
    write_volume,
)
from brainad.volume import Grid, Volume

AFFINE = np.array(
    [[0.0, -0.9, 0.1, 10.0], [1.2, 0.0, 0.0, -20.0], [0.0, 0.1, 4.0, 5.0], [0.0, 0.0, 0.0, 1.0]]
)


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE, **header: Any) -> Path:
    image = nib.nifti1.Nifti1Image(data, affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


@pytest.fixture
def data(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(4, 5, 6)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.nii.gz", "a"),
        ("a.b.nii", "a.b"),
        ("A.NII.GZ", "A"),
        (".nii", ""),
        ("a.nii.bz2", None),
        ("a.mha", None),
        ("nii.gz", None),
    ],
)
def test_names_without_their_ending(name: str, stem: str | None) -> None:
    assert case_stem(Path("folder.nii") / name) == stem


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "A.NII.GZ"])
def test_a_volume_is_read_with_its_grid(tmp_path: Path, data: np.ndarray, name: str) -> None:
    path = save(tmp_path / name, data)
    volume = read_volume(path)
    assert volume.data.dtype == np.float32
    assert np.array_equal(volume.data, data)
    assert volume.grid.matches(Grid((4, 5, 6), AFFINE), 1e-4)
    assert read_grid(path).matches(volume.grid, 0)


def test_stored_integers_are_scaled(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    image = nib.nifti1.Nifti1Image(np.full((2, 3, 4), 10, dtype=np.int16), AFFINE)
    image.header.set_slope_inter(0.5, -1)
    image.to_filename(path)
    assert np.unique(read_volume(path).data).tolist() == [4.0]


def test_a_last_axis_of_one_is_dropped(tmp_path: Path, data: np.ndarray) -> None:
    path = save(tmp_path / "a.nii.gz", data[..., None, None])
    assert read_grid(path).shape == (4, 5, 6)
    assert np.array_equal(read_volume(path).data, data)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 5, 6, 2), "a 4D image"),
        ((4, 5), "a 2D image"),
        ((4, 5, 1, 3), "a 4D image"),
        ((4, 1, 6), "a single slice"),
        ((4, 5, 1), "a single slice|a 2D image"),
    ],
)
def test_anything_but_three_dimensions_is_refused(
    tmp_path: Path, shape: tuple[int, ...], message: str
) -> None:
    path = save(tmp_path / "a.nii.gz", np.zeros(shape, dtype=np.float32))
    for read in (read_grid, read_volume):
        with pytest.raises(DataError, match=message) as caught:
            read(path)
        assert caught.value.where == str(path)
        assert caught.value.fix


def test_a_colour_image_is_refused(tmp_path: Path) -> None:
    colours = np.zeros((4, 5, 6), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    path = tmp_path / "a.nii.gz"
    nib.save(nib.nifti1.Nifti1Image(colours, AFFINE), path)
    with pytest.raises(DataError, match="a colour image"):
        read_volume(path)


def test_a_truncated_file_is_refused(tmp_path: Path, data: np.ndarray) -> None:
    path = save(tmp_path / "a.nii.gz", data)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"cannot be read|not a readable") as caught:
        read_volume(path)
    assert caught.value.where == str(path)
    path = save(tmp_path / "b.nii", data)
    path.write_bytes(path.read_bytes()[:400])
    assert read_grid(path).shape == (4, 5, 6)
    with pytest.raises(DataError, match="the voxels cannot be read"):
        read_volume(path)


@pytest.mark.parametrize("content", [b"", b"hello", gzip.compress(b"hello"), bytes(1000)])
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not a readable NIfTI file|2D|0D|a 1D|single slice"):
        read_volume(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="file not found"):
        read_volume(tmp_path / "a.nii.gz")


def test_an_impossible_header_is_refused(tmp_path: Path, data: np.ndarray) -> None:
    flat = save(tmp_path / "a.nii", data)
    image = nib.nifti1.load(flat)
    image.header.set_sform(np.diag([1.0, 0.0, 1.0, 1.0]), code=1)
    nib.nifti1.Nifti1Image(data, None, image.header).to_filename(flat)
    with pytest.raises(DataError, match="impossible geometry"):
        read_grid(flat)
    huge = save(tmp_path / "b.nii", data)
    content = bytearray(huge.read_bytes())
    content[42:48] = np.array([32000, 32000, 32000], dtype="<i2").tobytes()
    huge.write_bytes(content)
    with pytest.raises(DataError, match="the header claims"):
        read_volume(huge)


def test_images_in_memory_go_both_ways(data: np.ndarray) -> None:
    volume = Volume(data, Grid((4, 5, 6), AFFINE))
    back = volume_from_image(image_from_volume(volume))
    assert np.array_equal(back.data, data)
    assert back.grid.matches(volume.grid, 1e-4)
    mask = image_from_volume(Volume(data > 0, volume.grid))
    assert mask.get_data_dtype() == np.uint8
    with pytest.raises(DataError, match="4D") as caught:
        volume_from_image(nib.nifti1.Nifti1Image(np.zeros((2, 2, 2, 2), np.float32), None))
    assert caught.value.where == "image in memory"


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
def test_the_same_values_give_the_same_bytes(tmp_path: Path, data: np.ndarray, name: str) -> None:
    volume = Volume(data, Grid((4, 5, 6), AFFINE))
    write_volume(tmp_path / name, volume)
    write_volume(tmp_path / f"other_{name}", volume)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"other_{name}").read_bytes()
    assert np.array_equal(read_volume(tmp_path / name).data, data)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, f"other_{name}"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Write an integer scan whose sform and qform differ and whose header holds all sorts."""
    image = nib.nifti1.Nifti1Image(np.ones((4, 5, 6, 1), dtype=np.int16), None)
    rotated = np.array(
        [[0.0, -0.9, 0.0, 8.0], [1.2, 0.0, 0.0, 9.0], [0.0, 0.0, 4.0, 7.0], [0.0, 0.0, 0.0, 1.0]]
    )
    image.header.set_sform(AFFINE, code=4)
    image.header.set_qform(rotated, code=2)
    image.header.set_xyzt_units("mm", "msec")
    image.header.set_slope_inter(2, 1)
    image.header.set_intent("t test", (3,), name="secret")
    image.header["descrip"] = b"Mr Smith"
    image.header["aux_file"] = b"smith.dcm"
    image.header["cal_max"] = 300
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Mr Smith"))
    path = tmp_path / "source.nii.gz"
    nib.nifti1.Nifti1Image(np.ones((4, 5, 6, 1), np.int16), None, image.header).to_filename(path)
    return path


@pytest.mark.parametrize("kind", [np.float32, np.bool_])
def test_position_and_units_of_the_source_are_kept(
    tmp_path: Path, source: Path, data: np.ndarray, kind: type
) -> None:
    given = nib.nifti1.load(source).header
    values = data if kind is np.float32 else data > 0
    path = tmp_path / "a.nii.gz"
    write_volume(path, Volume(values, read_grid(source)), like=source)
    image = nib.nifti1.load(path)
    header = image.header
    assert header["sform_code"] == 4
    assert header["qform_code"] == 2
    assert np.array_equal(header.get_sform(), given.get_sform())
    assert np.array_equal(header.get_qform(), given.get_qform())
    assert header.get_zooms() == given.get_zooms()[:3]
    assert header.get_xyzt_units() == ("mm", "msec")
    assert image.shape == (4, 5, 6)
    assert header.get_data_dtype() == (np.float32 if kind is np.float32 else np.uint8)
    assert np.array_equal(np.asarray(image.dataobj), values)


def test_what_the_source_says_about_people_and_values_is_not_kept(
    tmp_path: Path, source: Path, data: np.ndarray
) -> None:
    path = tmp_path / "a.nii"
    write_volume(path, Volume(data, read_grid(source)), like=source)
    header = nib.nifti1.load(path).header
    assert header["descrip"] == b"brainad"
    assert header["cal_max"] == 0
    assert header.get_intent()[0] == "none"
    assert len(header.extensions) == 0
    content = path.read_bytes().lower()
    assert b"smith" not in content
    assert b"secret" not in content


def test_a_source_on_another_grid_is_refused(
    tmp_path: Path, source: Path, data: np.ndarray
) -> None:
    shifted = AFFINE.copy()
    shifted[0, 3] += 1
    with pytest.raises(ValueError, match="another grid"):
        write_volume(tmp_path / "a.nii.gz", Volume(data, Grid((4, 5, 6), shifted)), like=source)
    assert not (tmp_path / "a.nii.gz").exists()


@pytest.mark.parametrize("offset", [1e9, -1.0, np.nan])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
def test_voxels_that_start_far_away_are_not_looked_for(
    tmp_path: Path, data: np.ndarray, name: str, offset: float
) -> None:
    content = bytearray(nib.nifti1.Nifti1Image(data, AFFINE).to_bytes())
    content[108:112] = np.float32(offset).tobytes()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.lower().endswith("gz") else bytes(content))
    with pytest.raises(DataError, match="the voxels start at byte"):
        read_grid(path)
