"""Named arrays of a case on disk, each file valid for one key: what makes stages resumable."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.files import replacing

Arrays = Mapping[str, NDArray[Any]]
_KEY = "key"


class ArrayFolder:
    """A folder with one ``CASE.npz`` per case.

    Args:
        folder: created on first write.
        compressed: worth the time for maps, not for features, which are as good as noise.
    """

    def __init__(self, folder: Path, compressed: bool = True) -> None:
        self.folder = folder
        self._save = np.savez_compressed if compressed else np.savez

    def holds(self, case_id: str, key: str) -> bool:
        """Tell whether a case is here and was made for this key."""
        return self.key(case_id) == key

    def key(self, case_id: str) -> str | None:
        """Return what a case was made for, or None if it is not here or not readable."""
        try:
            with np.load(self._path(case_id), allow_pickle=False) as stored:
                return str(stored[_KEY])
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile):
            return None

    def write(self, case_id: str, key: str, arrays: Arrays) -> None:
        """Store the arrays of a case; the file appears complete or not at all."""
        with replacing(self._path(case_id)) as temporary:
            self._save(temporary, allow_pickle=False, **{_KEY: np.array(key), **arrays})

    def read(self, case_id: str) -> dict[str, NDArray[Any]]:
        """Load the arrays of a case."""
        return dict(self.open(case_id))

    def open(self, case_id: str) -> Arrays:
        """Return the arrays of a case, each read when it is asked for and not kept."""
        return _StoredArrays(self._path(case_id))

    def _path(self, case_id: str) -> Path:
        return self.folder / f"{case_id}.npz"


class _StoredArrays(Mapping[str, NDArray[Any]]):
    """Name → array of one file; travels to other processes as the file's path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getitem__(self, name: str) -> NDArray[Any]:
        with np.load(self._path, allow_pickle=False) as stored:
            array: NDArray[Any] = stored[name]
            return array

    def __iter__(self) -> Iterator[str]:
        with np.load(self._path, allow_pickle=False) as stored:
            return iter([name for name in stored.files if name != _KEY])

    def __len__(self) -> int:
        return sum(1 for _ in self)


class StoredArrays(Sequence[Arrays]):
    """The arrays of several cases, read from disk when they are looked at.

    Args:
        folder: where they are.
        case_ids: which, in order.
    """

    def __init__(self, folder: ArrayFolder, case_ids: Sequence[str]) -> None:
        self._folder = folder
        self._case_ids = list(case_ids)

    def __len__(self) -> int:
        return len(self._case_ids)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return StoredArrays(self._folder, self._case_ids[index])
        return self._folder.open(self._case_ids[index])

    def __iter__(self) -> Iterator[Arrays]:
        return (self._folder.open(case_id) for case_id in self._case_ids)
