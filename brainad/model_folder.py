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
from brainad.files import content_hash, read_json, replacing, value_hash, write_json
from brainad.plan import FORMAT_VERSION, Plan, from_table, to_table
from brainad.prediction import Calibration

CARD_FILE = "model_card.json"
# In the card as in dataset.json: file number to channel.
CHANNEL_NAMES = "channel_names"
_ARRAYS = "state.safetensors"
_VALUES = "state.json"
_PLAN = "plans.json"
_CALIBRATION = "calibration.json"
# What a prediction depends on; thresholds only decide how it is read.
_IDENTITY = (_ARRAYS, _VALUES, _PLAN)
FILES = (*_IDENTITY, _CALIBRATION)
_STAGED = "staged"


@dataclass(frozen=True, eq=False)
class StoredModel:
    """What a model folder holds.

    Args:
        plan: preprocessing and settings.
        configuration: name of the method.
        state: what the method learnt: arrays and plain values.
        calibration: thresholds, or None.
        card: name, purpose, licence, data and figures, for people.
        model_id: identifies plan and state.
    """

    plan: Plan
    configuration: str
    state: dict[str, Any]
    calibration: Calibration | None
    card: Mapping[str, Any]
    model_id: str = ""


def write(folder: Path, model: StoredModel) -> None:
    """Write the files of a model into a folder, which may hold others.

    They are complete before the first one moves in. The old card goes first and the new one
    comes last: without a card, a folder is not a model.
    """
    staged = folder / _STAGED
    with replacing(staged) as temporary:
        temporary.mkdir()
        _write_files(temporary, model)
    (folder / CARD_FILE).unlink(missing_ok=True)
    (folder / _CALIBRATION).unlink(missing_ok=True)
    for name in (*FILES, CARD_FILE):
        if (staged / name).is_file():
            (staged / name).replace(folder / name)
    staged.rmdir()


def _write_files(folder: Path, model: StoredModel) -> None:
    arrays = {k: v for k, v in model.state.items() if isinstance(v, np.ndarray)}
    values = {k: v for k, v in model.state.items() if not isinstance(v, np.ndarray)}
    contiguous: dict[str, NDArray[Any]] = {
        name: np.ascontiguousarray(array) for name, array in arrays.items()
    }
    (folder / _ARRAYS).write_bytes(save(contiguous))
    write_json(folder / _VALUES, values)
    write_json(folder / _PLAN, to_table(model.plan))
    if model.calibration:
        write_json(folder / _CALIBRATION, to_table(model.calibration))
    _write_card(folder, {"configuration": model.configuration, **model.card})


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Store other thresholds with a model; what it predicts, and its id, stay the same.

    Raises:
        UsageError: not a model folder.
    """
    card = read_card(folder)
    (folder / CARD_FILE).unlink()
    write_json(folder / _CALIBRATION, to_table(calibration))
    own = ("format_version", "sha256")
    _write_card(folder, {name: value for name, value in card.items() if name not in own})


def _write_card(folder: Path, card: Mapping[str, Any]) -> None:
    files = {name: content_hash(folder / name) for name in FILES if (folder / name).is_file()}
    write_json(folder / CARD_FILE, {"format_version": FORMAT_VERSION, **card, "sha256": files})


def read_card(folder: Path) -> dict[str, Any]:
    """Read the card of a model.

    Raises:
        UsageError: not a model folder, or its card is damaged.
    """
    if not (folder / CARD_FILE).is_file():
        raise UsageError(
            "not a model folder: it has no model_card.json",
            str(folder),
            "give the folder that brainad_train or brainad_build_bank wrote",
        )
    card: dict[str, Any] = read_json(folder / CARD_FILE)
    if not isinstance(card, dict) or not isinstance(card.get("sha256", {}), dict):
        raise UsageError("this is no model card", str(folder / CARD_FILE), "copy the model again")
    return card


def channel_names(card: Mapping[str, Any], where: str) -> dict[int, str]:
    """Return the file numbers of the channels that a card names, number to channel.

    Raises:
        UsageError: what the card says is not that.
    """
    listed = card.get(CHANNEL_NAMES, {})
    try:
        return {int(number): str(name) for number, name in listed.items()}
    except (AttributeError, ValueError) as error:
        raise UsageError(
            f"{CHANNEL_NAMES} of the card holds {listed!a}", where, "copy the model again"
        ) from error


def read(folder: Path) -> StoredModel:
    """Read a model folder and check every file against its SHA-256.

    Raises:
        UsageError: not a model folder, an unknown format, or a file that was changed.
    """
    card = read_card(folder)
    if card.get("format_version") != FORMAT_VERSION:
        raise UsageError(
            f"format {card.get('format_version')}; this version reads {FORMAT_VERSION}",
            str(folder / CARD_FILE),
            "build the model again with this version",
        )
    configuration = card.get("configuration")
    if not isinstance(configuration, str):
        raise UsageError(
            "the card names no configuration", str(folder / CARD_FILE), "copy the model again"
        )
    hashes = card.get("sha256", {})
    unknown = [name for name in _IDENTITY if name not in hashes]
    if unknown:
        raise UsageError(
            f"the card names no SHA-256 for {', '.join(unknown)}",
            str(folder / CARD_FILE),
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
    except (SafetensorError, OSError, TypeError) as error:
        raise UsageError(
            f"the state cannot be read: {error}", str(folder / _ARRAYS), "copy the model again"
        ) from error
    calibration = None
    if _CALIBRATION in hashes:
        path = folder / _CALIBRATION
        calibration = from_table(Calibration, read_json(path), str(path))
    return StoredModel(
        plan=from_table(Plan, read_json(folder / _PLAN), str(folder / _PLAN)),
        configuration=configuration,
        state=state,
        calibration=calibration,
        card=card,
        model_id=value_hash([configuration, *(hashes[name] for name in _IDENTITY)]),
    )
