"""State ↔ file: tensors and plain values only, written beside and then renamed."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from brainad.errors import UsageError
from brainad.files import replacing

_PLAIN = (bool, int, float, str, type(None), torch.Tensor)


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state; the file appears complete or not at all.

    Raises:
        TypeError: the state holds more than tensors and plain values.
    """
    _require_plain(state, path.stem)
    with replacing(path) as temporary:
        torch.save(dict(state), temporary)


def load_state(path: Path) -> dict[str, Any]:
    """Read a state onto the CPU without running any code that is in the file.

    Raises:
        UsageError: the file is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UsageError(
            f"the checkpoint cannot be read: {error}", str(path), "delete it and train again"
        ) from error
    return state


def _require_plain(value: Any, where: str) -> None:
    """Refuse what `weights_only` loading would refuse, before it is written."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            _require_plain(part, f"{where}.{name}")
    elif isinstance(value, (list, tuple)):
        for number, part in enumerate(value):
            _require_plain(part, f"{where}[{number}]")
    elif not isinstance(value, _PLAIN):
        raise TypeError(f"{where} is a {type(value).__name__}, not a tensor or a plain value")
