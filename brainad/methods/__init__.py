"""Methods: one folder each, found by its exact name."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from brainad.errors import UsageError
from brainad.method import MethodSpec


def available() -> tuple[str, ...]:
    """Return the names of all methods."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg))


def get(name: str) -> MethodSpec[Any]:
    """Import the method of that name.

    Raises:
        UsageError: there is no such method; the message lists those that exist.
    """
    if name not in available():
        known = "; ".join(f"{other}: {get(other).summary}" for other in available())
        raise UsageError(
            f"no configuration {name!r}", "-c", f"a configuration is a method. Choose from {known}"
        )
    spec: MethodSpec[Any] = importlib.import_module(f"{__name__}.{name}").SPEC
    return spec
