"""Load a transformers folder with safetensors weights, without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from brainad.errors import UsageError

_FIX = "get the folder again (`brainad_download_weights`, or copy it)"


def model_type(folder: Path) -> str:
    """Return the architecture that a model folder says it holds."""
    return str(json.loads((folder / "config.json").read_text()).get("model_type"))


def load_pretrained(
    model_class: Any, folder: Path, unused_keys: frozenset[str] = frozenset(), **options: Any
) -> Any:
    """Load a model in float32.

    Args:
        model_class: of transformers.
        folder: with ``config.json`` and ``*.safetensors``.
        unused_keys: tensors that may be missing.
        options: arguments of the model's constructor.

    Raises:
        UsageError: the weights cannot be read or are incomplete.
    """
    try:
        with _quietly():
            model, report = model_class.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                **options,
            )
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UsageError(f"weights cannot be read: {error}", str(folder), _FIX) from error
    missing = set(report["missing_keys"]) - unused_keys
    if missing:
        raise UsageError(
            f"weights are incomplete: {len(missing)} tensors missing, e.g. {min(missing)}",
            str(folder),
            _FIX,
        )
    return model


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep transformers from drawing a bar and from listing tensors that are not needed."""
    enabled = transformers_logging.is_progress_bar_enabled()
    level = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if enabled:
            transformers_logging.enable_progress_bar()
