from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

GOLDEN = Path(__file__).parents[2] / "golden" / "rasalore"

Arrays = dict[str, NDArray[Any]]
Load = Callable[[str], Arrays]


@pytest.fixture
def golden() -> Load:
    """Load a golden file by name."""

    def load(name: str) -> Arrays:
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            return dict(arrays)

    return load


@pytest.fixture
def fill() -> Callable[[nn.Module, Arrays, str], None]:
    """Give a module the weights that a golden file holds under a prefix."""

    def give(module: nn.Module, arrays: Arrays, prefix: str) -> None:
        state = {
            name.removeprefix(prefix): torch.from_numpy(array)
            for name, array in arrays.items()
            if name.startswith(prefix)
        }
        missing, unexpected = module.load_state_dict(state, strict=False)
        assert not unexpected
        assert all(name.endswith("num_batches_tracked") for name in missing)

    return give
