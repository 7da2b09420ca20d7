"""A plain folder of scans → cases, whatever naming scheme it follows."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainad.case import Case, Labels
from brainad.channels import CANONICAL, channel_name
from brainad.dataset_description import FILE_NAME, read_description
from brainad.errors import DataError, UsageError
from brainad.files import is_safe_name, safe_name
from brainad.naming import PATTERNS, Vocabulary, match_name, numbered
from brainad.nifti import case_stem

# Patient, session and data type: the deepest layout in use.
_MAX_DEPTH = 3
_SIDE_CARS = (".json", ".tsv", ".csv", ".txt", ".md", ".html", ".bval", ".bvec")
_SHOWN = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """How one file name was understood."""

    file: Path
    case_id: str
    channel: str
    pattern: str


@dataclass(frozen=True)
class InputFolder:
    """What was found in a folder.

    Args:
        folder: where.
        cases: sorted by name.
        failures: cases whose files contradict each other, case to reason.
        readings: how the files of the first three cases were understood.
        unmatched: files that fit no naming scheme.
        warnings: sentences a user should read.
        channel_names: file number to channel, where it is known.
    """

    folder: Path
    cases: tuple[Case, ...]
    failures: Mapping[str, DataError]
    readings: tuple[Reading, ...]
    unmatched: tuple[Path, ...]
    warnings: tuple[str, ...]
    channel_names: Mapping[int, str]


def find_cases(
    folder: Path,
    channel_names: Mapping[int, str] | None = None,
    channel_map: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
) -> InputFolder:
    """Find the scans in a folder and say which case and channel each file is.

    Args:
        folder: holds files named in one of the ways of `PATTERNS`.
        channel_names: file number to channel, as in the dataset that was learnt from; a
            dataset.json in the folder or the one above goes before it.
        channel_map: channel to the end of its file names, such as ``FLAIR`` to ``_0000``.
        aliases: further words for channels, word to channel.

    Raises:
        UsageError: no such folder, or no file fits.
    """
    vocabulary = _vocabulary(folder, channel_names, channel_map or {}, aliases or {})
    files, refused = _list_files(folder)
    matches = {file: match_name(file.relative_to(folder), vocabulary) for file in files}
    readings = [Reading(f, m.case_id, m.channel, m.pattern) for f, m in matches.items() if m]
    warnings: list[str] = []
    if not readings:
        readings = _unnamed(folder, files, vocabulary)
        warnings = _unknown_contrast(readings)
    if not readings:
        raise _nothing_found(folder, files, vocabulary)
    patients = {m.case_id: m.patient_id for m in matches.values() if m and m.patient_id}
    readings = _named_by_folder(folder, readings, patients)
    unmatched = tuple(sorted(set(files) - {reading.file for reading in readings}))
    if unmatched:
        warnings.append(f"{len(unmatched)} files are not used, e.g. {_some(folder, unmatched)}")
    cases, failures = _assemble(readings, patients)
    failures |= {safe_name(str(path.relative_to(folder))): e for path, e in refused.items()}
    first = sorted({reading.case_id for reading in readings})[:3]
    return InputFolder(
        folder=folder,
        cases=cases,
        failures=failures,
        readings=tuple(r for name in first for r in readings if r.case_id == name),
        unmatched=unmatched,
        warnings=tuple(warnings),
        channel_names=vocabulary.numbers,
    )


def make_case(
    case_id: str, images: Mapping[str, Path], patient_id: str = "", labels: Labels | None = None
) -> Case:
    """Make a case whose outputs lie on the grid of its most anatomical channel.

    Raises:
        DataError: the name of the case or a channel cannot be part of a file name.
    """
    for name in (case_id, *images):
        if not is_safe_name(name):
            raise DataError(
                f"{name!a} cannot be part of a file name",
                ", ".join(f"{str(path)!a}" for path in images.values()),
                "use letters, digits and _ - . without line breaks or path separators",
            )
    order = {name: position for position, name in enumerate(CANONICAL)}
    reference = min(images, key=lambda name: (order.get(name, len(order)), name))
    return Case(case_id, patient_id or case_id, dict(images), reference, labels or Labels())


def _vocabulary(
    folder: Path,
    channel_names: Mapping[int, str] | None,
    channel_map: Mapping[str, str],
    aliases: Mapping[str, str],
) -> Vocabulary:
    if not folder.is_dir():
        raise UsageError("no such folder", str(folder), "check the path")
    if (folder / FILE_NAME).is_file() and (folder / "imagesTr").is_dir():
        raise UsageError(
            "this is a raw dataset, not a folder of scans",
            str(folder),
            "give its subfolder imagesTr or imagesTs, or name the dataset with -d",
        )
    endings = {
        (case_stem(Path(end)) or end): channel_name(name, "--channel_map")
        for name, end in channel_map.items()
    }
    places = (folder, folder.resolve().parent)
    described = [place / FILE_NAME for place in places if (place / FILE_NAME).is_file()]
    if described:
        description = read_description(described[0])
        _log.info("channel names come from %s", described[0])
        words = {**description.options.aliases, **aliases}
        return Vocabulary(description.channel_names, endings, words)
    return Vocabulary(channel_names or {}, endings, aliases)


def _list_files(folder: Path) -> tuple[list[Path], dict[Path, DataError]]:
    """List the files that may be scans, and what cannot be looked at with the reason."""
    refused: dict[Path, DataError] = {}
    files = sorted(_visible_files(folder, refused))
    return files, refused


def _visible_files(folder: Path, refused: dict[Path, DataError], depth: int = 0) -> Iterator[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        problem = f"the folder cannot be read: {error.strerror}"
        if depth == 0:
            raise UsageError(problem, str(folder), "ask for the right to read it") from error
        refused[folder] = DataError(problem, str(folder), "ask for the right to read it")
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            is_loop = entry.parent.resolve().is_relative_to(entry.resolve())
            if depth < _MAX_DEPTH and not is_loop:
                yield from _visible_files(entry, refused, depth + 1)
        elif entry.name.lower().endswith(_SIDE_CARS):
            continue
        elif entry.exists() and not entry.is_file():
            # Opening a pipe or a device could wait or read for ever.
            refused[entry] = DataError(
                "neither a file nor a folder", f"{str(entry)!a}", "remove it"
            )
        else:
            yield entry


def _unnamed(folder: Path, files: Sequence[Path], vocabulary: Vocabulary) -> list[Reading]:
    """Read files whose names hold no channel: numbers without meaning, or bare case names."""
    if len(vocabulary.numbers) > 1 or vocabulary.endings:
        return []
    only = next(iter(vocabulary.numbers.values()), None)
    readings = []
    for file in files:
        number = numbered(file)
        if number and not only:
            readings.append(Reading(file, number[0], f"CHANNEL{number[1]}", PATTERNS[0]))
    if readings:
        return readings
    for file in files:
        stem = case_stem(file)
        if stem and file.parent == folder:
            readings.append(Reading(file, stem, only or "CHANNEL0", PATTERNS[-1]))
    return readings


def _unknown_contrast(readings: Sequence[Reading]) -> list[str]:
    unknown = sorted({r.channel for r in readings if r.channel.startswith("CHANNEL")})
    return [
        f"the contrast of {channel} is not known; say which it is, for example with "
        f"--channel_map T1=_{int(channel.removeprefix('CHANNEL')):04d}"
        for channel in unknown
    ]


def _named_by_folder(
    folder: Path, readings: Sequence[Reading], patients: Mapping[str, str]
) -> list[Reading]:
    """Give the files of a subfolder that holds one case the name of the subfolder."""
    names = defaultdict(set)
    for reading in readings:
        names[reading.file.parent].add(reading.case_id)
    renamed = []
    for reading in readings:
        place = reading.file.parent
        own_folder = place != folder and len(names[place]) == 1 and reading.case_id not in patients
        if own_folder or (place != folder and not reading.case_id):
            case_id = "_".join(place.relative_to(folder).parts)
        else:
            case_id = reading.case_id or reading.channel
        renamed.append(Reading(reading.file, case_id, reading.channel, reading.pattern))
    return renamed


def _assemble(
    readings: Sequence[Reading], patients: Mapping[str, str]
) -> tuple[tuple[Case, ...], dict[str, DataError]]:
    grouped: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for reading in readings:
        grouped[reading.case_id][reading.channel].append(reading.file)
    cases, failures = [], {}
    for case_id, channels in sorted(grouped.items()):
        twice = {name: files for name, files in channels.items() if len(files) > 1}
        if twice:
            name, files = next(iter(twice.items()))
            failures[safe_name(case_id)] = DataError(
                f"{len(files)} files claim to be channel {name} of case {case_id}",
                ", ".join(str(file) for file in files),
                "keep one of them, or rename the others to cases of their own",
            )
            continue
        images = {name: files[0] for name, files in channels.items()}
        try:
            cases.append(make_case(case_id, images, patients.get(case_id, "")))
        except DataError as error:
            failures[safe_name(case_id)] = error
    return tuple(cases), failures


def _nothing_found(folder: Path, files: Sequence[Path], vocabulary: Vocabulary) -> UsageError:
    channels = ", ".join([*vocabulary.numbers.values(), *vocabulary.endings.values()])
    return UsageError(
        f"no cases found in {folder}",
        f"{len(files)} files seen{f', e.g. {_some(folder, files)}' if files else ''}; "
        f"patterns tried: {', '.join(PATTERNS)}",
        f"the channels are {channels}, so one bare file per case is ambiguous; rename the files "
        "or pass --channel_map"
        if channels and files
        else "put NIfTI files there, named in one of these ways",
    )


def _some(folder: Path, files: Sequence[Path]) -> str:
    return ", ".join(str(file.relative_to(folder)) for file in files[:_SHOWN])
