"""splits_final.json: written once, kept, or taken from the raw dataset."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from brainad.errors import UsageError
from brainad.files import read_json, write_json
from brainad.plan import Fingerprint
from brainad.planning.splits import Split, check_splits, make_splits

_log = logging.getLogger(__name__)
SPLITS_FILE = "splits_final.json"


def keep_or_make_splits(
    raw: Path, derived: Path, fingerprint: Fingerprint, left_out: frozenset[str]
) -> tuple[Split, ...]:
    """Return the folds of a dataset: its own, those made before, or new ones.

    Args:
        raw: dataset folder; a splits_final.json in it is honoured.
        derived: preprocessed folder; what is used is written there.
        fingerprint: of the usable cases.
        left_out: cases that must never be trained on or calibrated with (the test set).

    Raises:
        UsageError: the folds contradict the dataset.
    """
    cases = [case for case in fingerprint.cases if case.case_id not in left_out]
    patients = {case.case_id: case.patient_id for case in cases}
    source, target = raw / SPLITS_FILE, derived / SPLITS_FILE
    for path in (source, target):
        if path.is_file():
            splits = _read(path)
            check_splits(splits, patients, str(path))
            _tell_about_new_cases(splits, patients, path)
            break
    else:
        splits = make_splits(cases)
    if not target.is_file() or source.is_file():
        write_json(target, [{"train": list(s.train), "val": list(s.val)} for s in splits])
    return splits


def _read(path: Path) -> tuple[Split, ...]:
    table = read_json(path)
    try:
        return tuple(Split(tuple(entry["train"]), tuple(entry["val"])) for entry in table)
    except (KeyError, TypeError) as error:
        raise UsageError(
            "not a list of folds", str(path), 'write [{"train": [...], "val": [...]}, ...]'
        ) from error


def _tell_about_new_cases(
    splits: tuple[Split, ...], patients: Mapping[str, str], path: Path
) -> None:
    known = {case for split in splits for case in (*split.train, *split.val)}
    new = sorted(set(patients) - known)
    if new:
        _log.warning(
            "%d cases are in no fold of %s, e.g. %s; delete the file to have new folds made",
            len(new), path, new[0],
        )  # fmt: skip
