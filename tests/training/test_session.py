from __future__ import annotations

import logging
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainad.errors import ResourceError
from brainad.files import read_json
from brainad.training.progress import FIGURE_FILE, HISTORY_FILE
from brainad.training.session import FolderSession, MemorySession

Usage = namedtuple("Usage", ["total", "used", "free"])


def folder_session(folder: Path, key: str = "key") -> FolderSession:
    return FolderSession(folder, key, folder / "arrays")


@pytest.fixture(params=["folder", "memory"])
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return folder_session(tmp_path) if request.param == "folder" else MemorySession()


def test_states_come_back_per_stage(session: Any) -> None:
    assert session.load("one") is None
    session.save("one", {"epoch": 1})
    session.save("one", {"epoch": 2})
    session.save("two", {"epoch": 7})
    assert (session.load("one"), session.load("two")) == ({"epoch": 2}, {"epoch": 7})


def test_arrays_keep_what_is_written_until_the_key_changes(session: Any) -> None:
    array = session.array("features/case_1", "a", (2, 3), "float16")
    assert array.shape == (2, 3)
    assert array.dtype == np.float16
    assert not array.any()
    array[1] = 5
    again = session.array("features/case_1", "a", (2, 3), "float16")
    assert again.tolist() == [[0, 0, 0], [5, 5, 5]]
    assert not session.array("features/case_1", "b", (2, 3), "float16").any()
    assert session.array("features/case_1", "b", (4,), "bool").tolist() == [False] * 4


def test_a_folder_survives_its_session(tmp_path: Path) -> None:
    first = folder_session(tmp_path)
    first.save("fit", {"epoch": 4})
    first.array("a", "k", (2,), "float32")[:] = 3
    second = folder_session(tmp_path)
    assert second.load("fit") == {"epoch": 4}
    assert second.array("a", "k", (2,), "float32").tolist() == [3, 3]
    second.forget()
    assert second.load("fit") is None


def test_checkpoints_of_another_training_are_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder_session(tmp_path).save("fit", {"epoch": 4})
    with caplog.at_level(logging.INFO, "brainad"):
        assert folder_session(tmp_path, "other").load("fit") is None
    assert "starting anew" in caplog.text


def test_every_epoch_is_one_line_and_part_of_the_figure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = folder_session(tmp_path)
    with caplog.at_level(logging.INFO, "brainad"):
        session.report("fit", 1, 2, {"loss": 0.5})
        session.report("fit", 2, 2, {"loss": 0.25})
    assert caplog.messages == ["fit epoch 1/2  loss 0.5", "fit epoch 2/2  loss 0.25"]
    assert read_json(tmp_path / HISTORY_FILE)["stages"] == {"fit": [{"loss": 0.5}, {"loss": 0.25}]}
    assert (tmp_path / FIGURE_FILE).read_bytes().startswith(b"\x89PNG")


def test_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 9, 1_500_000_000))
    with pytest.raises(ResourceError, match=r"0\.8 GB are needed, 1\.5 GB are free"):
        folder_session(tmp_path).array("a", "k", (400, 1000, 1000), "float16")
    assert list(tmp_path.rglob("*.npy")) == []
