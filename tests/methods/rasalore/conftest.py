from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from brainad.case import Placement, PreparedCase, TrainingCase
from brainad.volume import centred_grid

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


def prepared(
    case_id: str, images: dict[str, NDArray[np.float32]], brain: NDArray[np.bool_]
) -> PreparedCase:
    grid = centred_grid(brain.shape, 1.0, np.zeros(3))
    return PreparedCase(case_id, images, brain, Placement(grid, grid, np.eye(4)))


@pytest.fixture
def cohort() -> list[TrainingCase]:
    """Make 4 round brains of 24 slices, with a bright lesion in slices 8 to 15 of each.

    The second has no FLAIR, the last no T2; slice 0 of each has no label.
    """
    cases = []
    axes = np.mgrid[:72, :80, :24]
    for number in range(4):
        rng = np.random.default_rng(number)
        brain = ((axes[0] - 36) / 32) ** 2 + ((axes[1] - 40) / 36) ** 2 < 1
        middle = (28 + 4 * number, 50 - 3 * number)
        lesion = (axes[0] - middle[0]) ** 2 + (axes[1] - middle[1]) ** 2 < 12**2
        lesion &= (axes[2] >= 8) & (axes[2] < 16)
        tissue = 0.4 + 0.05 * rng.standard_normal(brain.shape)
        t2 = np.where(brain, np.where(lesion, 0.95, tissue), 0).astype(np.float32)
        images = {"T2": t2, "FLAIR": (0.9 * t2).astype(np.float32)}
        if number in (1, 3):
            del images["FLAIR" if number == 1 else "T2"]
        usable = np.arange(24) > 0
        target = lesion.any((0, 1))
        case = prepared(f"case_{number}", images, brain)
        cases.append(TrainingCase(case, usable, target))
    return cases
