from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from brainad.arrays import ArrayFolder, StoredArrays


@pytest.fixture
def folder(tmp_path: Path) -> ArrayFolder:
    return ArrayFolder(tmp_path / "arrays")


def test_arrays_come_back_with_type_and_shape(folder: ArrayFolder) -> None:
    tokens = np.arange(6, dtype=np.float16).reshape(2, 3)
    folder.write("a.b", "key", {"tokens": tokens, "score": np.array(1.5)})
    stored = folder.read("a.b")
    assert list(stored) == ["tokens", "score"]
    assert stored["tokens"].dtype == np.float16
    assert np.array_equal(stored["tokens"], tokens)
    assert float(stored["score"]) == 1.5
    assert [path.name for path in folder.folder.iterdir()] == ["a.b.npz"]


def test_arrays_are_valid_for_one_key(folder: ArrayFolder) -> None:
    assert not folder.holds("a", "key")
    folder.write("a", "key", {"x": np.zeros(2)})
    assert folder.holds("a", "key")
    assert not folder.holds("a", "other")
    folder.write("a", "other", {"y": np.zeros(3)})
    assert folder.holds("a", "other")
    assert list(folder.read("a")) == ["y"]


@pytest.mark.parametrize("damage", [b"", b"not an archive"])
def test_a_damaged_file_counts_as_absent(folder: ArrayFolder, damage: bytes) -> None:
    folder.write("a", "key", {"x": np.zeros(2)})
    (folder.folder / "a.npz").write_bytes(damage)
    assert not folder.holds("a", "key")


def test_a_truncated_file_or_one_without_key_counts_as_absent(folder: ArrayFolder) -> None:
    folder.write("a", "key", {"x": np.zeros(2)})
    path = folder.folder / "a.npz"
    path.write_bytes(path.read_bytes()[:-30])
    assert not folder.holds("a", "key")
    np.savez(path, x=np.zeros(2))
    assert not folder.holds("a", "key")


def test_the_same_arrays_give_the_same_bytes(folder: ArrayFolder) -> None:
    for name in ("a", "b"):
        folder.write(name, "key", {"x": np.arange(5)})
    assert (folder.folder / "a.npz").read_bytes() == (folder.folder / "b.npz").read_bytes()


def test_objects_are_neither_stored_nor_read(folder: ArrayFolder) -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        folder.write("a", "key", {"x": np.array([object()])})
    assert list(folder.folder.iterdir()) == []
    np.savez(folder.folder / "a.npz", key=np.array("key"), x=np.array([{}]))
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        folder.read("a")


def test_a_sequence_reads_each_case_when_it_is_asked_for(folder: ArrayFolder) -> None:
    for number, name in enumerate("abc"):
        folder.write(name, "key", {"x": np.array(number)})
    stored = StoredArrays(folder, ["c", "a", "missing"])
    assert len(stored) == 3
    assert int(stored[0]["x"]) == 2
    assert [int(arrays["x"]) for arrays in stored[:2]] == [2, 0]
    assert isinstance(stored[1:], StoredArrays)
    assert int(next(iter(stored))["x"]) == 2
    folder.write("a", "key", {"x": np.array(7)})
    assert int(stored[1]["x"]) == 7
    with pytest.raises(FileNotFoundError):
        stored[2]["x"]


def test_only_the_arrays_that_are_asked_for_are_read(folder: ArrayFolder) -> None:
    folder.write("a", "key", {"x": np.array(1), "y": np.array(2)})
    arrays = pickle.loads(pickle.dumps(folder.open("a")))  # noqa: S301 - our own
    assert sorted(arrays) == ["x", "y"]
    assert len(arrays) == 2
    assert int(arrays["y"]) == 2
    assert folder.key("a") == "key"
    assert folder.key("b") is None


def test_features_are_stored_as_they_are(tmp_path: Path) -> None:
    zeros = {"x": np.zeros(100_000, dtype=np.uint8)}
    small, large = ArrayFolder(tmp_path / "s"), ArrayFolder(tmp_path / "l", compressed=False)
    for each in (small, large):
        each.write("a", "key", zeros)
        assert np.array_equal(each.read("a")["x"], zeros["x"])
    assert (tmp_path / "s" / "a.npz").stat().st_size < 5_000
    assert (tmp_path / "l" / "a.npz").stat().st_size > 100_000
