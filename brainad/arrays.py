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
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, case_id: str) -> str | None:
        """Return what a case was made for, or None if it is not here or damaged."""
        try:
            with np.load(self._path(case_id), allow_pickle=False) as stored:
                return str(stored[_KEY])
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile):
            return None

    def holds(self, case_id: str, key: str) -> bool:
        """Tell whether a case is here and was made for this key."""
        return self.key(case_id) == key

    def write(self, case_id: str, key: str, arrays: Arrays) -> None:
        """Store the arrays of a case; the file appears complete or not at all."""
        with replacing(self._path(case_id)) as temporary:
            np.savez_compressed(temporary, allow_pickle=False, **{_KEY: np.array(key), **arrays})

    def read(self, case_id: str) -> dict[str, NDArray[Any]]:
        """Load the arrays of a case."""
        with np.load(self._path(case_id), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files if name != _KEY}

    def _path(self, case_id: str) -> Path:
        return self.folder / f"{case_id}.npz"


class StoredArrays(Sequence[Arrays]):
    """The arrays of several cases, read from disk one by one when asked for.

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
        return self._folder.read(self._case_ids[index])

    def __iter__(self) -> Iterator[Arrays]:
        return (self._folder.read(case_id) for case_id in self._case_ids)
