from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from brainad.methods.codegraph3d.cohort import CohortTokens

GOLDEN = Path(__file__).parents[2] / "golden" / "codegraph3d"

Arrays = dict[str, NDArray[Any]]


@pytest.fixture
def golden() -> Callable[[str], Arrays]:
    """Load a golden file by name."""

    def load(name: str) -> Arrays:
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            return dict(arrays)

    return load


@pytest.fixture
def line_cohort() -> Callable[[NDArray[Any], NDArray[Any]], CohortTokens]:
    """Make a cohort whose cells lie in one line, from tokens (T, d) and offsets."""

    def make(tokens: NDArray[Any], offsets: NDArray[Any]) -> CohortTokens:
        sizes = np.diff(offsets)
        cells = np.concatenate([np.arange(size) for size in sizes])
        on_torch = torch.from_numpy(np.asarray(tokens, dtype=np.float32))
        return CohortTokens(on_torch, offsets.astype(np.int64), cells, (int(sizes.max()), 1, 1))

    return make


@pytest.fixture
def grid_cohort() -> Callable[[NDArray[Any], NDArray[Any]], CohortTokens]:
    """Make a cohort from grids of tokens (B, nx, ny, nz, d) and kept cells (B, nx, ny, nz)."""

    def make(tokens: NDArray[Any], cells: NDArray[Any]) -> CohortTokens:
        kept = cells.astype(bool)
        index = [np.flatnonzero(each) for each in kept]
        offsets = np.concatenate([[0], np.cumsum([len(each) for each in index])])
        on_torch = torch.from_numpy(np.asarray(tokens[kept], dtype=np.float32))
        return CohortTokens(on_torch, offsets, np.concatenate(index), kept.shape[1:])

    return make
