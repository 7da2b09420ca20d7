from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from brainad.errors import UsageError
from brainad.files import read_json
from brainad.pipeline.splits import SPLITS_FILE, keep_or_make_splits
from brainad.plan import Fingerprint
from tests.planning.test_splits import case

NOBODY: frozenset[str] = frozenset()


@pytest.fixture
def fingerprint() -> Fingerprint:
    cases = tuple(case(f"c{n}", f"P{n}", "healthy") for n in range(10))
    return Fingerprint(1, "", "", cases, {}, {"healthy": 10}, "healthy", (0, 0), 1.0, 1.0)


def test_folds_are_made_once(tmp_path: Path, fingerprint: Fingerprint) -> None:
    first = keep_or_make_splits(tmp_path / "raw", tmp_path, fingerprint, NOBODY)
    content = (tmp_path / SPLITS_FILE).read_bytes()
    assert keep_or_make_splits(tmp_path / "raw", tmp_path, fingerprint, NOBODY) == first
    assert (tmp_path / SPLITS_FILE).read_bytes() == content
    table = read_json(tmp_path / SPLITS_FILE)
    assert [sorted(entry) for entry in table] == [["train", "val"]] * 5


def test_the_folds_of_the_raw_dataset_are_honoured(
    tmp_path: Path, fingerprint: Fingerprint
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    names = [c.case_id for c in fingerprint.cases]
    own = [{"train": names[:6], "val": names[6:]}]
    (raw / SPLITS_FILE).write_text(json.dumps(own))
    (split,) = keep_or_make_splits(raw, tmp_path, fingerprint, NOBODY)
    assert list(split.val) == names[6:]
    assert read_json(tmp_path / SPLITS_FILE) == own


def test_the_test_set_is_in_no_fold(tmp_path: Path, fingerprint: Fingerprint) -> None:
    splits = keep_or_make_splits(tmp_path / "raw", tmp_path, fingerprint, frozenset({"c3"}))
    assert all("c3" not in (*split.train, *split.val) for split in splits)
    with pytest.raises(UsageError, match="not in the dataset: c4"):
        keep_or_make_splits(tmp_path / "raw", tmp_path, fingerprint, frozenset({"c4"}))


def test_new_cases_are_told(
    tmp_path: Path, fingerprint: Fingerprint, caplog: pytest.LogCaptureFixture
) -> None:
    keep_or_make_splits(tmp_path / "raw", tmp_path, fingerprint, NOBODY)
    grown = replace(fingerprint, cases=(*fingerprint.cases, case("new", "N", "healthy")))
    with caplog.at_level(logging.WARNING, "brainad"):
        keep_or_make_splits(tmp_path / "raw", tmp_path, grown, NOBODY)
    assert "1 cases are in no fold" in caplog.text
    assert "new" in caplog.text


@pytest.mark.parametrize("content", ['[{"train": ["c0"]}]', '{"folds": 5}', "[3]"])
def test_other_files_are_refused(tmp_path: Path, fingerprint: Fingerprint, content: str) -> None:
    (tmp_path / SPLITS_FILE).write_text(content)
    with pytest.raises(UsageError, match="not a list of folds"):
        keep_or_make_splits(tmp_path / "raw", tmp_path, fingerprint, NOBODY)
