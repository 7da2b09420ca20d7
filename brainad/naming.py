"""How files of plain folders are named: file name → case and channel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from brainad.channels import canonical_channel
from brainad.nifti import case_stem

PATTERNS = (
    "CASE_0000.nii.gz",
    "CASE_FLAIR.nii.gz",
    "CASE-t2f.nii.gz",
    "CASE.T1w.nii.gz",
    "CASE/FLAIR.nii.gz",
    "sub-X/ses-Y/anat/sub-X_ses-Y_T1w.nii.gz",
    "CASE.nii.gz (one channel)",
)

_SEPARATORS = "_-. "
_NUMBER = re.compile(r"(?:(?P<case>.+)_)?(?P<number>\d{4})", re.DOTALL)
_BIDS_CASE = re.compile(r"(?P<patient>sub-[A-Za-z0-9]+)(_(?P<session>ses-[A-Za-z0-9]+))?_")


@dataclass(frozen=True)
class Match:
    """What a file name says.

    Args:
        case_id: the case's name, or empty where only the folder can tell.
        patient_id: the person's name where the naming scheme has one, else empty.
        channel: canonical name, or as the dataset calls it.
        pattern: the naming rule that fits, for the user.
    """

    case_id: str
    patient_id: str
    channel: str
    pattern: str


@dataclass(frozen=True)
class Vocabulary:
    """What is known about channel names beforehand.

    Args:
        numbers: four-digit file number to channel.
        endings: end of the file name (such as ``_0000``) to channel; stands above the rest.
        aliases: further words, word to channel.
    """

    numbers: Mapping[int, str] = field(default_factory=dict)
    endings: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def channel(self, word: str) -> str | None:
        """Return the channel that a word means, the dataset's own names included."""
        own = {name: name for name in self.numbers.values()}
        return canonical_channel(word, {**own, **self.aliases})


def match_name(path: Path, vocabulary: Vocabulary) -> Match | None:
    """Read case and channel from a file name, or None if the name does not hold a channel.

    Args:
        path: the file, relative to the input folder.
        vocabulary: what is known about channel names.
    """
    stem = case_stem(path)
    if not stem:
        return None
    return (
        _match_ending(stem, vocabulary)
        or _match_bids(stem, vocabulary)
        or _match_number(stem, vocabulary)
        or _match_word(stem, vocabulary)
    )


def _match_ending(stem: str, vocabulary: Vocabulary) -> Match | None:
    for ending in sorted(vocabulary.endings, key=len, reverse=True):
        if stem.endswith(ending):
            case_id = stem.removesuffix(ending).rstrip(_SEPARATORS)
            return Match(case_id, "", vocabulary.endings[ending], f"CASE{ending} (channel map)")
    return None


def _match_bids(stem: str, vocabulary: Vocabulary) -> Match | None:
    found = _BIDS_CASE.match(stem)
    suffix = stem.rpartition("_")[2]
    channel = vocabulary.channel(suffix)
    if found is None or channel is None:
        return None
    if channel == "T1" and re.search(r"_ce-", stem):
        channel = "T1CE"
    patient, session = found["patient"], found["session"]
    return Match(f"{patient}_{session}" if session else patient, patient, channel, PATTERNS[5])


def _match_number(stem: str, vocabulary: Vocabulary) -> Match | None:
    found = _NUMBER.fullmatch(stem)
    channel = vocabulary.numbers.get(int(found["number"])) if found else None
    if found is None or channel is None:
        return None
    return Match(found["case"] or "", "", channel, PATTERNS[0])


def _match_word(stem: str, vocabulary: Vocabulary) -> Match | None:
    channel = vocabulary.channel(stem)
    if channel:
        return Match("", "", channel, PATTERNS[4])
    for head, tail, separator in _splits(stem):
        channel = vocabulary.channel(tail)
        if channel:
            return Match(head, "", channel, f"CASE{separator}{channel}")
    return None


def _splits(stem: str) -> Iterator[tuple[str, str, str]]:
    """Split at every separator, longest tail first, so that ``_t2-flair`` is one word."""
    for position, character in enumerate(stem):
        if character in _SEPARATORS and 0 < position < len(stem) - 1:
            yield stem[:position].rstrip(_SEPARATORS), stem[position + 1 :], character


def numbered(path: Path) -> tuple[str, int] | None:
    """Return case and number of ``CASE_0000.nii.gz``, or None for any other name."""
    stem = case_stem(path)
    found = _NUMBER.fullmatch(stem) if stem else None
    return (found["case"] or "", int(found["number"])) if found else None
