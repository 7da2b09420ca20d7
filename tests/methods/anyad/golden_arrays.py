"""Golden arrays, and parameters in the order in which the fixtures name them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

GOLDEN = Path(__file__).parents[2] / "golden" / "anyad"

Arrays = Mapping[str, NDArray[Any]]


def golden(name: str) -> Arrays:
    """Load a fixture by name."""
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def tensor(array: NDArray[Any], needs_grad: bool = False) -> Tensor:
    return torch.from_numpy(np.array(array)).float().requires_grad_(needs_grad)


def tokens(maps: NDArray[Any], needs_grad: bool = False) -> Tensor:
    """(B, C, H, W) → (B, H W, C), row-major."""
    return tensor(np.moveaxis(maps.reshape(*maps.shape[:2], -1), 1, 2), needs_grad)


def as_maps(values: Tensor, like: NDArray[Any]) -> Tensor:
    """(B, N, C) → the (B, C, H, W) of a fixture."""
    return values.transpose(1, 2).reshape(like.shape)


def parameters(arrays: Arrays, prefix: str) -> dict[str, Tensor]:
    """Return the arrays below a prefix as a state dictionary."""
    return {k.removeprefix(prefix): tensor(v) for k, v in arrays.items() if k.startswith(prefix)}


def close(found: Tensor, expected: Any, rtol: float = 1e-4, atol: float = 2e-5) -> None:
    wanted = torch.as_tensor(np.asarray(expected)).to(found.dtype)
    torch.testing.assert_close(found.detach(), wanted, rtol=rtol, atol=atol)


def close_gradient(found: Tensor | None, expected: Any) -> None:
    assert found is not None
    close(found, expected, rtol=1e-3, atol=1e-4)
