"""brainad: find what does not belong in a brain MRI."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brainad.pipeline.predictor import Predictor

__all__ = ["Predictor", "__version__"]


def __getattr__(name: str) -> Any:
    """Import `Predictor` when it is asked for, so that importing brainad costs nothing."""
    if name == "Predictor":
        from brainad.pipeline.predictor import Predictor  # noqa: PLC0415

        return Predictor
    if name == "__version__":
        return version("brainad")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
