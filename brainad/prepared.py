"""Prepared cases on disk: one folder per case, one memory-mapped array file per channel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.case import Placement, PreparedCase
from brainad.errors import UsageError
from brainad.files import read_json, replacing, write_json
from brainad.plan import FORMAT_VERSION
from brainad.volume import Grid


class _ChannelFiles(Mapping[str, NDArray[np.float32]]):
    """Channel name → array, read from disk when asked for and not kept."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def __getitem__(self, channel: str) -> NDArray[np.float32]:
        stored = np.load(self._files[channel], mmap_mode="r", allow_pickle=False)
        return np.asarray(stored, dtype=np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


@dataclass(frozen=True)
class PreparedRecord:
    """What is remembered about how a case was prepared.

    Args:
        key: identifies the plan and the input files; another key means out of date.
        channels: channels that were prepared.
        warnings: sentences from quality control.
        measures: figures of quality control and seconds per step, by name.
    """

    key: str
    channels: tuple[str, ...]
    warnings: tuple[str, ...]
    measures: Mapping[str, float]


class PreparedFolder:
    """A folder of prepared cases.

    Images are stored as float16: they lie in [0, 1], where its steps are below 0.0005.

    Args:
        folder: where the cases are; created on first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record(self, case_id: str) -> PreparedRecord | None:
        """Return how a case was prepared, or None if it is not here or not readable."""
        path = self.folder / case_id / "record.json"
        if not path.is_file():
            return None
        try:
            table = read_json(path)
            return PreparedRecord(
                table["key"], tuple(table["channels"]), tuple(table["warnings"]), table["measures"]
            )
        except (UsageError, KeyError, TypeError):
            # A disk that lost power may keep a name and lose its content.
            return None

    def write(self, case: PreparedCase, record: PreparedRecord) -> None:
        """Store a case; it appears complete or not at all."""
        with replacing(self.folder / case.case_id) as temporary:
            temporary.mkdir()
            for channel, image in case.images.items():
                np.save(temporary / f"{channel}.npy", image.astype(np.float16))
            np.save(temporary / "brain.npy", case.brain)
            write_json(temporary / "placement.json", _placement_table(case.placement))
            write_json(
                temporary / "record.json",
                {
                    "format_version": FORMAT_VERSION,
                    "key": record.key,
                    "channels": list(record.channels),
                    "warnings": list(record.warnings),
                    "measures": dict(record.measures),
                },
            )

    def read(self, case_id: str) -> PreparedCase:
        """Open a case; images are read from disk each time they are used.

        Raises:
            UsageError: the case is not here.
        """
        folder = self.folder / case_id
        table = read_json(folder / "record.json")
        if table["format_version"] != FORMAT_VERSION:
            raise UsageError(
                f"format {table['format_version']}; this version reads {FORMAT_VERSION}",
                str(folder),
                "preprocess the data again",
            )
        return PreparedCase(
            case_id,
            _ChannelFiles({channel: folder / f"{channel}.npy" for channel in table["channels"]}),
            np.load(folder / "brain.npy", mmap_mode="r", allow_pickle=False),
            _placement(read_json(folder / "placement.json")),
        )


def _placement_table(placement: Placement) -> dict[str, Any]:
    return {
        "native": _grid_table(placement.native),
        "working": _grid_table(placement.working),
        "working_from_native": np.asarray(placement.working_from_native).tolist(),
    }


def _placement(table: Mapping[str, Any]) -> Placement:
    native, working = _grid(table["native"]), _grid(table["working"])
    return Placement(native, working, np.array(table["working_from_native"], dtype=np.float64))


def _grid_table(grid: Grid) -> dict[str, Any]:
    return {"shape": list(grid.shape), "affine": grid.affine.tolist()}


def _grid(table: Mapping[str, Any]) -> Grid:
    return Grid(tuple(table["shape"]), np.array(table["affine"], dtype=np.float64))
