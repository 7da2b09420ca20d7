"""dataset.json: what a raw dataset says about its channels and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from brainad.channels import CANONICAL, channel_name
from brainad.errors import UsageError
from brainad.files import read_json
from brainad.nifti import ENDINGS
from brainad.plan import Table, from_table

FILE_NAME = "dataset.json"


@dataclass(frozen=True)
class DatasetOptions(Table):
    """The ``brainad`` block of dataset.json; other programs ignore it.

    Args:
        format_version: of this block.
        required_channels: names that every case must have; None means all.
        channel_aliases: channel to further words that file names and tables use for it.
        anomaly_labels: label values that count as anomalous; None means all above 0.
        skull_stripped: what the user knows, or ``auto`` to measure it.
        axis: slicing axis of 2D methods.
        case_table: labels per case, relative to the dataset folder.
        slice_table: labels per slice, relative to the dataset folder.
    """

    format_version: Literal[1] = 1
    required_channels: tuple[str, ...] | None = None
    channel_aliases: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    anomaly_labels: tuple[int, ...] | None = None
    skull_stripped: bool | Literal["auto"] = "auto"
    axis: Literal["auto", "axial", "coronal", "sagittal"] = "auto"
    case_table: str = "cases.csv"
    slice_table: str = "slices.csv"

    @property
    def aliases(self) -> dict[str, str]:
        """Return the additional words, word to channel."""
        return {word: name for name, words in self.channel_aliases.items() for word in words}


@dataclass(frozen=True)
class DatasetDescription:
    """What dataset.json says.

    Args:
        channel_names: file number to channel, canonical where the word is known.
        label_values: values that label files may hold, 0 included.
        anomaly_labels: values that count as anomalous.
        case_count: number of training cases it announces, or None.
        explicit_cases: the optional ``dataset`` key: case to its files.
        options: the ``brainad`` block.
        warnings: sentences a user should read.
    """

    channel_names: Mapping[int, str]
    label_values: frozenset[int]
    anomaly_labels: frozenset[int]
    case_count: int | None
    explicit_cases: Mapping[str, Any]
    options: DatasetOptions
    warnings: tuple[str, ...]


def read_description(path: Path) -> DatasetDescription:
    """Read dataset.json in the format of nnU-Net, older spellings included.

    Raises:
        UsageError: unreadable, a key is missing, or a value has the wrong form.
    """
    content = read_json(path)
    where = str(path)
    if not isinstance(content, dict):
        raise UsageError("dataset.json must hold an object", where, "see the dataset format page")
    options: DatasetOptions = from_table(DatasetOptions, content.get("brainad", {}), where)
    names, warnings = _channel_names(content, options, where)
    values, ignored = _label_values(content, where)
    _require_nifti(content, where)
    anomalous = options.anomaly_labels
    explicit = content.get("dataset", {})
    if not isinstance(explicit, dict):
        raise UsageError(
            "the key dataset must hold an object", where, 'write {"CASE": {"images": [...]}}'
        )
    count = content.get("numTraining")
    return DatasetDescription(
        channel_names=names,
        label_values=values,
        anomaly_labels=values - {0} - ignored if anomalous is None else frozenset(anomalous),
        case_count=count if isinstance(count, int) else None,
        explicit_cases=explicit,
        options=options,
        warnings=tuple(warnings),
    )


def _channel_names(
    content: dict[str, Any], options: DatasetOptions, where: str
) -> tuple[dict[int, str], list[str]]:
    listed = content.get("channel_names", content.get("modality"))
    fix = 'write for example "channel_names": {"0": "T1", "1": "FLAIR"}'
    if not isinstance(listed, dict) or not listed:
        raise UsageError("the key channel_names is missing or empty", where, fix)
    names: dict[int, str] = {}
    warnings = []
    for number, word in sorted(listed.items(), key=lambda item: str(item[0])):
        if not str(number).isdecimal() or not isinstance(word, str) or not word.strip():
            raise UsageError(f"channel_names holds {number!r}: {word!r}", where, fix)
        name = channel_name(word, where, options.aliases)
        if name in names.values():
            name = f"{name}_{int(number):04d}"
        if name not in CANONICAL:
            warnings.append(
                f"channel {number} is called {word!r}, which names no known contrast; "
                f"it goes by {name} (known: {', '.join(CANONICAL)})"
            )
        names[int(number)] = name
    return names, warnings


def _label_values(content: dict[str, Any], where: str) -> tuple[frozenset[int], frozenset[int]]:
    labels = content.get("labels")
    fix = 'write for example "labels": {"background": 0, "lesion": 1}'
    if not isinstance(labels, dict):
        raise UsageError("the key labels is missing", where, fix)
    values: set[int] = {0}
    for name, value in labels.items():
        members = value if isinstance(value, list) else [value]
        if not all(isinstance(member, int) for member in members):
            raise UsageError(f"label {name!r} has the value {value!r}, not integers", where, fix)
        values.update(members)
    ignored = labels.get("ignore")
    return frozenset(values), frozenset([ignored] if isinstance(ignored, int) else [])


def _require_nifti(content: dict[str, Any], where: str) -> None:
    ending = content.get("file_ending", ENDINGS[0])
    if ending not in ENDINGS:
        raise UsageError(
            f"file_ending is {ending!r}; only {' and '.join(ENDINGS)} can be read",
            where,
            "convert the images to NIfTI",
        )
