from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainad.case import PreparedCase
from brainad.errors import UsageError
from brainad.prepared import PreparedFolder, PreparedRecord

RECORD = PreparedRecord("key", ("T1", "FLAIR"), ("look at it",), {"brain_ml": 1234.5})


@pytest.fixture
def folder(tmp_path: Path) -> PreparedFolder:
    return PreparedFolder(tmp_path / "prepared")


def test_a_case_comes_back(folder: PreparedFolder, prepared_case: PreparedCase) -> None:
    folder.write(prepared_case, RECORD)
    case = folder.read("case_1")
    assert case.case_id == "case_1"
    assert list(case.images) == ["T1", "FLAIR"]
    assert len(case.images) == 2
    for name, image in prepared_case.images.items():
        stored = case.images[name]
        assert stored.dtype == np.float32
        assert np.array_equal(stored, image.astype(np.float16).astype(np.float32))
        assert np.abs(stored - image).max() < 0.0005
    assert case.brain.dtype == np.bool_
    assert np.array_equal(case.brain, prepared_case.brain)


def test_the_ticket_home_is_kept_to_the_last_digit(
    folder: PreparedFolder, prepared_case: PreparedCase
) -> None:
    folder.write(prepared_case, RECORD)
    stored, given = folder.read("case_1").placement, prepared_case.placement
    assert np.array_equal(stored.working_from_native, given.working_from_native)
    assert stored.native.matches(given.native, 0)
    assert stored.working.matches(given.working, 0)


def test_the_record_comes_back(folder: PreparedFolder, prepared_case: PreparedCase) -> None:
    assert folder.record("case_1") is None
    folder.write(prepared_case, RECORD)
    assert folder.record("case_1") == RECORD
    assert folder.record("case_2") is None


def test_arrays_on_disk_cannot_be_changed_through_a_case(
    folder: PreparedFolder, prepared_case: PreparedCase
) -> None:
    folder.write(prepared_case, RECORD)
    case = folder.read("case_1")
    with pytest.raises(ValueError, match="read-only"):
        case.brain[0, 0, 0] = True
    case.images["T1"][:] = 7
    assert float(case.images["T1"].max()) < 1


def test_a_case_is_replaced_as_a_whole(folder: PreparedFolder, prepared_case: PreparedCase) -> None:
    folder.write(prepared_case, RECORD)
    only = replace(prepared_case, images={"T1": prepared_case.images["T1"]})
    folder.write(only, replace(RECORD, key="new", channels=("T1",)))
    assert list(folder.read("case_1").images) == ["T1"]
    record = folder.record("case_1")
    assert record is not None
    assert record.key == "new"
    assert not (folder.folder / "case_1" / "FLAIR.npy").exists()


def test_the_same_case_gives_the_same_bytes(
    folder: PreparedFolder, prepared_case: PreparedCase
) -> None:
    folder.write(prepared_case, RECORD)
    first = {path.name: path.read_bytes() for path in (folder.folder / "case_1").iterdir()}
    folder.write(prepared_case, RECORD)
    assert first == {path.name: path.read_bytes() for path in (folder.folder / "case_1").iterdir()}


def test_a_missing_case_is_refused(folder: PreparedFolder) -> None:
    with pytest.raises(UsageError, match="file not found"):
        folder.read("case_1")


def test_another_format_is_refused(folder: PreparedFolder, prepared_case: PreparedCase) -> None:
    folder.write(prepared_case, RECORD)
    path = folder.folder / "case_1" / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 99}))
    with pytest.raises(UsageError, match="format 99; this version reads 1"):
        folder.read("case_1")
