"""A model on disk: plan, state (tensors and plain values only), calibration and card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from brainad.errors import UsageError
from brainad.files import content_hash, read_json, replacing, write_json
from brainad.plan import FORMAT_VERSION, Plan, from_table, to_table
from brainad.prediction import Calibration

_CARD = "model_card.json"
_ARRAYS = "state.safetensors"
_VALUES = "state.json"
_PLAN = "plans.json"
_CALIBRATION = "calibration.json"


@dataclass(frozen=True, eq=False)
class StoredModel:
    """What a model folder holds.

    Args:
        plan: preprocessing and settings.
        configuration: name of the method.
        state: what the method learnt: arrays and plain values.
        calibration: thresholds, or None.
        card: name, purpose, licence, data and figures, for people.
        model_id: SHA-256 over the files.
    """

    plan: Plan
    configuration: str
    state: dict[str, Any]
    calibration: Calibration | None
    card: Mapping[str, Any]
    model_id: str = ""


def write(folder: Path, model: StoredModel) -> None:
    """Write a model folder; it appears complete or not at all."""
    arrays = {k: v for k, v in model.state.items() if isinstance(v, np.ndarray)}
    values = {k: v for k, v in model.state.items() if not isinstance(v, np.ndarray)}
    with replacing(folder) as temporary:
        temporary.mkdir()
        contiguous: dict[str, NDArray[Any]] = {
            name: np.ascontiguousarray(array) for name, array in arrays.items()
        }
        (temporary / _ARRAYS).write_bytes(save(contiguous))
        write_json(temporary / _VALUES, values)
        write_json(temporary / _PLAN, to_table(model.plan))
        if model.calibration:
            write_json(temporary / _CALIBRATION, to_table(model.calibration))
        files = {path.name: content_hash(path) for path in sorted(temporary.iterdir())}
        write_json(
            temporary / _CARD,
            {
                "format_version": FORMAT_VERSION,
                "configuration": model.configuration,
                **model.card,
                "sha256": files,
            },
        )


def read(folder: Path) -> StoredModel:
    """Read a model folder and check every file against its SHA-256.

    Raises:
        UsageError: not a model folder, an unknown format, or a file that was changed.
    """
    if not (folder / _CARD).is_file():
        raise UsageError(
            "not a model folder: it has no model_card.json",
            str(folder),
            "give the folder that brainad_build_bank wrote",
        )
    card = read_json(folder / _CARD)
    if card.get("format_version") != FORMAT_VERSION:
        raise UsageError(
            f"format {card.get('format_version')}; this version reads {FORMAT_VERSION}",
            str(folder / _CARD),
            "build the model again with this version",
        )
    hashes = card.get("sha256", {})
    unknown = [name for name in (_ARRAYS, _VALUES, _PLAN) if name not in hashes]
    if unknown:
        raise UsageError(
            f"the card names no SHA-256 for {', '.join(unknown)}",
            str(folder / _CARD),
            "copy the model again",
        )
    for name, expected in hashes.items():
        if Path(name).name != name or not (folder / name).is_file():
            raise UsageError(f"file {name} is missing", str(folder), "copy the model again")
        if content_hash(folder / name) != expected:
            raise UsageError(
                f"{name} does not match its SHA-256", str(folder), "copy the model again"
            )
    try:
        state: dict[str, Any] = {**load_file(folder / _ARRAYS), **read_json(folder / _VALUES)}
    except (SafetensorError, OSError) as error:
        raise UsageError(
            f"the state cannot be read: {error}", str(folder / _ARRAYS), "copy the model again"
        ) from error
    calibration = None
    if _CALIBRATION in hashes:
        path = folder / _CALIBRATION
        calibration = from_table(Calibration, read_json(path), str(path))
    return StoredModel(
        plan=from_table(Plan, read_json(folder / _PLAN), str(folder / _PLAN)),
        configuration=card["configuration"],
        state=state,
        calibration=calibration,
        card=card,
        model_id=content_hash(folder / _CARD)[:16],
    )
