"""Features of a frozen encoder, computed once and kept as float16, resumable row by row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.method import Session

_BYTES = np.dtype(np.float16).itemsize
Compute = Callable[[Sequence[int]], NDArray[Any]]


def kept_size_gb(rows: int, row_shape: tuple[int, ...]) -> float:
    """Return what kept features take on disk, in GB."""
    return rows * math.prod(row_shape) * _BYTES / 1e9


def keep_features(
    session: Session,
    name: str,
    key: str,
    shape: tuple[int, ...],
    compute: Compute,
    batch: int = 8,
) -> NDArray[np.float16]:
    """Return features from disk, after computing the rows that are not there yet.

    Args:
        session: lends the disk space.
        name: of the array, unique in the session.
        key: identifies encoder, settings and images.
        shape: (rows, …).
        compute: numbers of rows → (their count, …), any float type.
        batch: rows per call; they survive an interruption together.

    Returns:
        ``shape`` float16, on disk.
    """
    array = session.array(name, key, shape, "float16")
    done = session.array(f"{name}_done", key, (shape[0],), "bool")
    todo = np.flatnonzero(~np.asarray(done))
    for start in range(0, todo.size, batch):
        rows = todo[start : start + batch]
        array[rows] = np.asarray(compute(rows.tolist()), dtype=np.float16)
        if isinstance(array, np.memmap):
            array.flush()
        done[rows] = True
    return array
