"""Bad files of every kind that a folder of scans may hold, each with the name of its case."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np

from brainad.nifti import image_from_volume
from brainad.volume import Volume

Maker = Callable[[Path, Volume], None]
# Bytes of a NIfTI header.
_QFORM_CODE_AT, _SROW_Z_AT = 252, 312


def _save(path: Path, image: nib.nifti1.Nifti1Image) -> None:
    path.write_bytes(gzip.compress(image.to_bytes(), 1, mtime=0))


def _with(path: Path, volume: Volume, data: np.ndarray) -> None:
    _save(path, nib.nifti1.Nifti1Image(data, volume.grid.affine))


def _empty(path: Path, _volume: Volume) -> None:
    path.write_bytes(b"")


def _cut(path: Path, volume: Volume) -> None:
    _save(path, image_from_volume(volume))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _text(path: Path, _volume: Volume) -> None:
    path.write_bytes(gzip.compress(b"this is not an image\n" * 100))


def _terabytes(path: Path, volume: Volume) -> None:
    header = bytearray(image_from_volume(volume).to_bytes()[:352])
    struct.pack_into("<8h", header, 40, 3, 30000, 30000, 30000, 1, 1, 1, 1)
    path.write_bytes(gzip.compress(bytes(header)))


def _bomb(path: Path, volume: Volume) -> None:
    header = bytearray(image_from_volume(volume).to_bytes()[:352])
    struct.pack_into("<8h", header, 40, 3, 990, 990, 990, 1, 1, 1, 1)
    with gzip.open(path, "wb", 1) as file:
        file.write(bytes(header))
        for _ in range(200):
            file.write(bytes(1 << 20))


def _four_dimensional(path: Path, volume: Volume) -> None:
    _with(path, volume, np.stack([volume.data] * 3, -1))


def _constant(path: Path, volume: Volume) -> None:
    _with(path, volume, np.zeros_like(volume.data))


def _not_numbers(path: Path, volume: Volume) -> None:
    data = volume.data.copy()
    data[data > 0] = np.nan
    _with(path, volume, data)


def _colour(path: Path, volume: Volume) -> None:
    pixel = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    _with(path, volume, np.zeros(volume.data.shape, dtype=pixel))


def _one_slice(path: Path, volume: Volume) -> None:
    _with(path, volume, volume.data[:, :, :1])


def _tiny_voxels(path: Path, volume: Volume) -> None:
    affine = volume.grid.affine @ np.diag([0.02, 0.02, 0.02, 1])
    _save(path, nib.nifti1.Nifti1Image(volume.data, affine))


def _noise(path: Path, volume: Volume) -> None:
    rng = np.random.default_rng(0)
    _with(path, volume, rng.random(volume.data.shape, dtype=np.float32))


def _flat(path: Path, volume: Volume) -> None:
    # Written into the bytes: nibabel would repair the header of an image it saves.
    content = bytearray(image_from_volume(volume).to_bytes())
    struct.pack_into("<2h", content, _QFORM_CODE_AT, 0, 1)
    struct.pack_into("<4f", content, _SROW_Z_AT, 0, 0, 0, 0)
    path.write_bytes(gzip.compress(bytes(content)))


def _link_to_nowhere(path: Path, _volume: Volume) -> None:
    path.symlink_to("/nonexistent/scan.nii.gz")


def _pipe(path: Path, _volume: Volume) -> None:
    os.mkfifo(path)


KINDS: Mapping[str, Maker] = {
    "empty": _empty,
    "cut": _cut,
    "text": _text,
    "terabytes": _terabytes,
    "bomb": _bomb,
    "4d": _four_dimensional,
    "constant": _constant,
    "nan": _not_numbers,
    "colour": _colour,
    "slice": _one_slice,
    "voxels": _tiny_voxels,
    "noise": _noise,
    "affine": _flat,
    "link": _link_to_nowhere,
    "pipe": _pipe,
    "line\nbreak": lambda path, volume: _save(path, image_from_volume(volume)),
    "\udcff": lambda path, volume: _save(path, image_from_volume(volume)),
}


def write_bad_files(folder: Path, volume: Volume) -> int:
    """Write one bad case of every kind beside good ones, and return how many.

    Args:
        folder: of scans, named ``CASE_0000.nii.gz``.
        volume: a good scan.
    """
    for name, make in KINDS.items():
        make(folder / f"bad_{name}_0000.nii.gz", volume)
    return len(KINDS)
