"""NIfTI files: read a `Volume` or only its `Grid`, write one with the header of a given file."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from brainad.errors import DataError
from brainad.files import replacing
from brainad.volume import Grid, Volume

ENDINGS = (".nii.gz", ".nii")

# No clinical head scan comes near this; a header that claims more is damaged or hostile.
_MAX_VOXELS = 1_000_000_000
# The voxels follow the header and its extensions, of which the largest hold a DICOM header.
_MAX_OFFSET = 64 * 1024**2
_HEADER_BYTES = 348
_OFFSET_AT = 108
_READ_ERRORS = (
    ImageFileError,
    HeaderDataError,
    WrapStructError,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    MemoryError,
    zlib.error,
)


def case_stem(path: Path) -> str | None:
    """Return the file name without its NIfTI ending, or None for any other file."""
    for ending in ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return None


def read_grid(path: Path) -> Grid:
    """Read only the header of a 3D NIfTI file.

    Raises:
        DataError: unreadable, not 3D, or an impossible geometry.
    """
    return _grid(_open(path), str(path))


def read_volume(path: Path) -> Volume:
    """Read a 3D NIfTI file as float32 on its own grid.

    Raises:
        DataError: unreadable or truncated, not 3D, or an impossible geometry.
    """
    return _volume(_open(path), str(path))


def volume_from_image(image: nib.nifti1.Nifti1Image) -> Volume:
    """Take the values and the grid of an image in memory, as float32.

    Raises:
        DataError: not 3D, or an impossible geometry.
    """
    return _volume(image, "image in memory")


def image_from_volume(volume: Volume) -> nib.nifti1.Nifti1Image:
    """Make an image in memory: uint8 for a mask, float32 for everything else."""
    data = volume.data.astype(np.uint8 if volume.data.dtype == np.bool_ else np.float32)
    image = nib.nifti1.Nifti1Image(data, volume.grid.affine)
    image.header.set_xyzt_units("mm")
    return image


def _volume(image: Any, where: str) -> Volume:
    grid = _grid(image, where)
    try:
        data = np.asarray(image.dataobj, dtype=np.float32).reshape(grid.shape)
    except _READ_ERRORS as error:
        raise DataError(
            f"the voxels cannot be read: {error}",
            where,
            "the file is truncated or damaged; copy it again from its source",
        ) from error
    return Volume(data, grid)


def _open(path: Path) -> Any:
    try:
        _require_near_voxels(path)
        return nib.nifti1.load(path)
    except FileNotFoundError as error:
        raise DataError("file not found", str(path), "check the path") from error
    except _READ_ERRORS as error:
        raise DataError(
            f"not a readable NIfTI file: {error}",
            str(path),
            "copy or convert it again from its source",
        ) from error


def _require_near_voxels(path: Path) -> None:
    """Refuse a header that would have gigabytes skipped or read as extensions."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        raise EOFError("the file is shorter than a header")
    order = "<" if struct.unpack_from("<i", header)[0] == _HEADER_BYTES else ">"
    (offset,) = struct.unpack_from(f"{order}f", header, _OFFSET_AT)
    if not 0 <= offset <= _MAX_OFFSET:
        raise ValueError(f"the header claims that the voxels start at byte {offset:.4g}")


def _grid(image: Any, where: str) -> Grid:
    shape = tuple(int(n) for n in image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if image.get_data_dtype().fields:
        raise DataError("a colour image, not intensities", where, "export the scan itself")
    if len(shape) != 3:
        raise DataError(
            f"a {len(shape)}D image of shape {shape}; a 3D scan is needed",
            where,
            "split it into one file per volume, for example with nibabel.funcs.four_to_three",
        )
    if min(shape) < 2:
        raise DataError(f"a single slice, shape {shape}", where, "a 3D scan is needed")
    if np.prod(shape, dtype=np.float64) > _MAX_VOXELS:
        raise DataError(
            f"the header claims {shape} voxels", where, "the header is damaged; convert again"
        )
    try:
        return Grid((shape[0], shape[1], shape[2]), image.affine)
    except ValueError as error:
        raise DataError(
            f"impossible geometry: {error}", where, "repair the sform/qform of the file"
        ) from error


def write_volume(path: Path, volume: Volume, like: Path | None = None) -> None:
    """Write a volume atomically; the same values always give the same bytes.

    Args:
        path: ending in .nii.gz (or .nii).
        volume: bool is stored as uint8, everything else as float32.
        like: NIfTI file on the same grid whose affines, codes and units are kept.

    Raises:
        ValueError: `like` lies on another grid.
    """
    image = image_from_volume(volume)
    if like is not None:
        header = _open(like).header
        if not read_grid(like).matches(volume.grid):
            raise ValueError(f"{like} lies on another grid")
        # Passing no affine keeps sform, qform and both codes exactly as they were stored.
        data = np.asanyarray(image.dataobj)
        image = nib.nifti1.Nifti1Image(data, None, _clean_header(header, data))
    with replacing(path) as temporary:
        if path.name.endswith(".gz"):
            # The name and time that gzip stores by default would differ from run to run.
            temporary.write_bytes(gzip.compress(image.to_bytes(), compresslevel=4, mtime=0))
        else:
            temporary.write_bytes(image.to_bytes())


def _clean_header(source: Any, data: Any) -> Any:
    header = nib.nifti1.Nifti1Header.from_header(source, check=False)
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0
    header.set_intent("none")
    header["descrip"] = b"brainad"
    # Old scanners' software left paths and names of people in these two.
    header["aux_file"] = header["db_name"] = b""
    header.extensions.clear()
    return header
