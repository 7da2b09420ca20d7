from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

GOLDEN = Path(__file__).parents[2] / "golden" / "medsad_clip"


class Golden:
    """A golden file; numbers come as torch tensors."""

    def __init__(self, name: str) -> None:
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
            self.arrays: dict[str, NDArray[Any]] = dict(arrays)

    def __getitem__(self, key: str) -> torch.Tensor:
        return torch.from_numpy(np.array(self.arrays[key]))


@pytest.fixture
def golden() -> Callable[[str], Golden]:
    """Load a golden file by name."""
    return Golden
