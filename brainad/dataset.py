"""A raw dataset on disk → cases with their labels; nothing is ever written there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from brainad.case import Case, Diagnosis, Labels
from brainad.channels import canonical_channel
from brainad.dataset_description import FILE_NAME, DatasetDescription, read_description
from brainad.errors import DataError, UsageError
from brainad.files import safe_name
from brainad.input_folder import find_cases, make_case
from brainad.label_tables import DIAGNOSES, read_case_table, read_slice_table
from brainad.nifti import case_stem

_SHOWN = 5


@dataclass(frozen=True)
class Dataset:
    """A raw dataset.

    Args:
        name: the folder's name.
        folder: where it is.
        description: what dataset.json says.
        cases: training cases, sorted by name.
        failures: cases whose files contradict each other, case to reason.
        table: rows of cases.csv by case, unknown columns included.
        unmatched: image files that fit no naming scheme.
        warnings: sentences a user should read.
    """

    name: str
    folder: Path
    description: DatasetDescription
    cases: tuple[Case, ...]
    failures: Mapping[str, DataError]
    table: Mapping[str, Mapping[str, str]]
    unmatched: tuple[Path, ...]
    warnings: tuple[str, ...]

    @property
    def required_channels(self) -> tuple[str, ...]:
        """Channels that every case must have."""
        options = self.description.options
        if options.required_channels is None:
            return tuple(self.description.channel_names.values())
        words = options.required_channels
        return tuple(canonical_channel(word, options.aliases) or word for word in words)

    @property
    def patients(self) -> dict[str, str]:
        """Patient of every case that was found or is named in cases.csv."""
        named = {name: row.get("patient_id") or name for name, row in self.table.items()}
        return {**named, **{case.case_id: case.patient_id for case in self.cases}}

    @property
    def test_case_ids(self) -> frozenset[str]:
        """Cases that must not be trained on: named so in cases.csv."""
        return frozenset(name for name, row in self.table.items() if row.get("subset") == "test")


@dataclass(frozen=True)
class _Tables:
    """Explicit labels: rows per case, and per case the slice axis and its labelled slices."""

    cases: Mapping[str, Mapping[str, str]]
    slices: Mapping[str, tuple[int, Mapping[int, bool]]]


def read_dataset(folder: Path, variables: Mapping[str, str] | None = None) -> Dataset:
    """Read a raw dataset in the layout of nnU-Net with brainad's optional additions.

    Args:
        folder: holds dataset.json and, unless that lists all files, imagesTr and labelsTr.
        variables: values for ``$NAME`` in the paths that dataset.json may list.

    Raises:
        UsageError: dataset.json or a table is wrong, or there are no cases.
    """
    description = read_description(folder / FILE_NAME)
    tables = _read_tables(folder, description)
    failures: Mapping[str, DataError] = {}
    unmatched: tuple[Path, ...] = ()
    warnings = list(description.warnings)
    if description.explicit_cases:
        images, masks = _listed(folder, description, variables or {})
        found, failures = _make_cases(images)
    else:
        aliases = description.options.aliases
        inside = find_cases(folder / "imagesTr", description.channel_names, aliases=aliases)
        found, failures, unmatched = inside.cases, inside.failures, inside.unmatched
        warnings += inside.warnings
        masks = _masks(folder / "labelsTr")
    cases = tuple(_labelled(case, tables, masks) for case in found)
    warnings += _count_warnings(
        description, [*failures, *(c.case_id for c in cases)], tables, masks
    )
    return Dataset(
        name=folder.name,
        folder=folder,
        description=description,
        cases=cases,
        failures=MappingProxyType(dict(failures)),
        table=MappingProxyType(dict(tables.cases)),
        unmatched=unmatched,
        warnings=tuple(warnings),
    )


def _listed(
    folder: Path, description: DatasetDescription, variables: Mapping[str, str]
) -> tuple[dict[str, dict[str, Path]], dict[str, Path]]:
    """Resolve the ``dataset`` key: images by channel, and masks, per case."""
    images: dict[str, dict[str, Path]] = {}
    masks = {}
    for case_id, entry in description.explicit_cases.items():
        files = entry.get("images") if isinstance(entry, dict) else None
        if not isinstance(files, list) or len(files) > len(description.channel_names):
            raise UsageError(
                f"dataset lists {entry!r} for case {case_id!r}",
                str(folder / FILE_NAME),
                'write {"images": [one path per channel, null where missing], "label": path}',
            )
        by_channel = {
            description.channel_names[number]: _path(folder, file, variables)
            for number, file in zip(sorted(description.channel_names), files, strict=False)
            if file
        }
        if not by_channel:
            raise UsageError(
                f"dataset lists no image for case {case_id!r}", str(folder / FILE_NAME), "add one"
            )
        images[case_id] = by_channel
        if entry.get("label"):
            masks[case_id] = _path(folder, entry["label"], variables)
    return images, masks


def _make_cases(
    images: Mapping[str, Mapping[str, Path]],
) -> tuple[tuple[Case, ...], dict[str, DataError]]:
    cases, failures = [], {}
    for name, files in sorted(images.items()):
        try:
            cases.append(make_case(name, files))
        except DataError as error:
            failures[safe_name(name)] = error
    return tuple(cases), failures


def _path(folder: Path, text: Any, variables: Mapping[str, str]) -> Path:
    expanded = re.sub(r"\$\{?(\w+)\}?", lambda found: variables.get(found[1], found[0]), str(text))
    return folder / Path(expanded).expanduser()


def _masks(folder: Path) -> dict[str, Path]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    stems = {file: case_stem(file) for file in files if not file.name.startswith(".")}
    return {stem: file for file, stem in stems.items() if stem}


def _labelled(case: Case, tables: _Tables, masks: Mapping[str, Path]) -> Case:
    """Attach what is known; the diagnosis of an unlisted case is left to its mask's voxels."""
    row = tables.cases.get(case.case_id, {})
    label: Diagnosis = DIAGNOSES.get(row.get("label", ""), "unknown")
    axis, slices = tables.slices.get(case.case_id, (None, {}))
    labels = Labels(label, masks.get(case.case_id), slices, axis)
    return replace(case, patient_id=row.get("patient_id") or case.patient_id, labels=labels)


def _read_tables(folder: Path, description: DatasetDescription) -> _Tables:
    cases_path = folder / description.options.case_table
    slices_path = folder / description.options.slice_table
    return _Tables(
        cases=read_case_table(cases_path) if _is_there(cases_path) else {},
        slices=read_slice_table(slices_path) if _is_there(slices_path) else {},
    )


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # A name that no file can have.
        return False


def _count_warnings(
    description: DatasetDescription,
    case_ids: Sequence[str],
    tables: _Tables,
    masks: Mapping[str, Path],
) -> list[str]:
    """Compare the cases found with everything that names cases."""
    warnings = []
    announced = description.case_count
    if announced is not None and announced != len(case_ids):
        warnings.append(f"numTraining is {announced}, but {len(case_ids)} cases were found")
    trained = {name for name, row in tables.cases.items() if row.get("subset") != "test"}
    for source, names in (
        ("labelsTr", set(masks)),
        (description.options.case_table, trained),
        (description.options.slice_table, set(tables.slices)),
    ):
        absent = sorted(names - set(case_ids))
        if absent:
            some = ", ".join(absent[:_SHOWN])
            warnings.append(f"{source} names {len(absent)} cases that have no images, e.g. {some}")
    return warnings
