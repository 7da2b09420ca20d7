"""Sessions: one in a folder that survives interruptions, one in memory."""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.errors import ResourceError
from brainad.files import read_json, write_json
from brainad.method import Overlay
from brainad.training.checkpoint import load_state, save_state
from brainad.training.overlays import write_overlays
from brainad.training.progress import ProgressFigure

_log = logging.getLogger(__name__)
_SPARE_BYTES = 1e9


class FolderSession:
    """A session in a folder; checkpoints and arrays of another key are ignored.

    Args:
        folder: for checkpoints and the progress figure.
        key: identifies plan, data and seed: what a checkpoint must have been made with.
        arrays: folder for arrays, which may be shared by several trainings.
    """

    def __init__(self, folder: Path, key: str, arrays: Path) -> None:
        self._folder = folder
        self._key = key
        self._arrays = arrays
        self._progress = ProgressFigure(folder)

    def load(self, stage: str) -> dict[str, Any] | None:
        """See `Session.load`."""
        path = self._checkpoint(stage)
        if not path.is_file():
            return None
        stored = load_state(path)
        if stored["key"] != self._key:
            _log.info("%s was made with another plan, seed or data: starting anew", path.name)
            return None
        state: dict[str, Any] = stored["state"]
        return state

    def save(self, stage: str, state: Mapping[str, Any]) -> None:
        """See `Session.save`."""
        save_state(self._checkpoint(stage), {"key": self._key, "state": dict(state)})

    def report(self, stage: str, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """See `Session.report`: one line in the log, and the figure."""
        log_epoch(stage, epoch, epochs, values)
        self._progress.add(stage, epoch, values, is_last=epoch == epochs)

    def show(self, name: str, overlays: Iterable[Overlay]) -> None:
        """See `Session.show`: a folder with pictures, and a page."""
        write_overlays(name, overlays, self._folder)

    def array(self, name: str, key: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """See `Session.array`."""
        path = self._arrays / f"{name}.npy"
        wanted = {"key": key, "shape": list(shape), "dtype": np.dtype(dtype).str}
        label = path.with_suffix(".json")
        if path.is_file() and label.is_file() and read_json(label) == wanted:
            return np.lib.format.open_memmap(path, mode="r+")
        label.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        size = math.prod(shape) * np.dtype(dtype).itemsize
        _require_space(path, size)
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
        _reserve(path)
        write_json(label, wanted)
        return array

    def forget(self) -> None:
        """Remove the checkpoints: the training is finished and its result stored."""
        for path in self._folder.glob("checkpoint_*.pth"):
            path.unlink()

    def _checkpoint(self, stage: str) -> Path:
        return self._folder / f"checkpoint_{stage}.pth"


class MemorySession:
    """A session that keeps everything in memory: for tests and for use without a disk."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, Any]] = {}
        self.reports: list[tuple[str, int, dict[str, float]]] = []
        self.shown: dict[str, list[Overlay]] = {}
        self._arrays: dict[str, tuple[str, NDArray[Any]]] = {}

    def load(self, stage: str) -> dict[str, Any] | None:
        """See `Session.load`."""
        return self.states.get(stage)

    def save(self, stage: str, state: Mapping[str, Any]) -> None:
        """See `Session.save`."""
        self.states[stage] = dict(state)

    def report(self, stage: str, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """See `Session.report`."""
        log_epoch(stage, epoch, epochs, values)
        self.reports.append((stage, epoch, dict(values)))

    def show(self, name: str, overlays: Iterable[Overlay]) -> None:
        """See `Session.show`."""
        self.shown[name] = list(overlays)

    def array(self, name: str, key: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """See `Session.array`."""
        known, array = self._arrays.get(name, ("", np.zeros(0)))
        if known != key or array.shape != shape or array.dtype != np.dtype(dtype):
            array = np.zeros(shape, dtype)
            self._arrays[name] = (key, array)
        return array


def log_epoch(stage: str, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
    """Log one line for a finished epoch."""
    measured = ", ".join(f"{name} {value:.5g}" for name, value in values.items())
    _log.info("%s epoch %d/%d  %s", stage, epoch, epochs, measured)


def _require_space(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if size + _SPARE_BYTES > free:
        raise ResourceError(
            f"{size / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free",
            str(path.parent),
            "free some space and run the same command again; finished work is kept",
        )


def _reserve(path: Path) -> None:
    """Claim the blocks of a file now: a full disk would kill the process at a later write."""
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            raise ResourceError(
                f"no space for {path.stat().st_size / 1e9:.1f} GB: {error.strerror}",
                str(path),
                "free some space and run the same command again; finished work is kept",
            ) from error
