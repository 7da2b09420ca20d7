"""What is computed once per row and kept, resumable; features of a frozen encoder as float16."""

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
    """Return features from disk as float16; otherwise as `keep_rows`."""
    return keep_rows(session, name, key, (shape, "float16"), compute, batch)


def keep_rows(
    session: Session,
    name: str,
    key: str,
    form: tuple[tuple[int, ...], str],
    compute: Compute,
    batch: int,
) -> NDArray[Any]:
    """Return rows from disk, after computing those that are not there yet.

    Args:
        session: lends the disk space.
        name: of the array, unique in the session.
        key: identifies all that the rows follow from.
        form: (rows, …), and the type as numpy spells it.
        compute: numbers of rows → (their count, …).
        batch: rows per call; they survive an interruption together.

    Returns:
        An array of that form, on disk.
    """
    shape, dtype = form
    array = session.array(name, key, shape, dtype)
    done = session.array(f"{name}_done", key, shape[:1], "bool")
    todo = np.flatnonzero(~np.asarray(done))
    for start in range(0, todo.size, batch):
        rows = todo[start : start + batch]
        array[rows] = np.asarray(compute(rows.tolist()), dtype=dtype)
        if isinstance(array, np.memmap):
            array.flush()
        done[rows] = True
    return array
