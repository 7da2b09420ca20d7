from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from brainad import files
from brainad.errors import ResourceError, UsageError
from brainad.files import (
    compose_key,
    content_hash,
    explain_change,
    is_safe_name,
    read_csv,
    read_json,
    remove_leftovers,
    replacing,
    safe_name,
    stat_signature,
    value_hash,
    write_bytes,
    write_csv,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text(path, "old")
    write_text(path, "grüße\n")
    assert path.read_bytes() == "grüße\n".encode()
    assert names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failing_block_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_folder_takes_the_place_of_the_old_one_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "left over").touch()
    with replacing(folder) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert names(folder) == ["new"]
    assert names(tmp_path) == ["case"]


def test_a_failing_block_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(ValueError, match="no"), replacing(folder) as temporary:
        temporary.mkdir()
        (temporary / "half").touch()
        raise ValueError("no")
    assert names(folder) == ["old"]
    assert names(tmp_path) == ["case"]


@pytest.mark.parametrize(
    ("name", "ending"), [("a.nii.gz", ".nii.gz"), ("a.b.npz", ".npz"), ("x" * 200 + ".json", "on")]
)
def test_the_temporary_file_is_a_hidden_neighbour_with_the_same_ending(
    tmp_path: Path, name: str, ending: str
) -> None:
    with replacing(tmp_path / name) as temporary:
        temporary.touch()
    assert temporary.parent == tmp_path
    assert temporary.name.startswith(".")
    assert temporary.name.endswith(ending)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_stops_the_run_and_keeps_the_old_file(tmp_path: Path, code: int) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ResourceError) as caught, replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError(code, os.strerror(code))
    assert caught.value.what == "no space left on the disk"
    assert caught.value.where == str(path)
    assert "free some space" in caught.value.fix
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_folder_without_permission_is_a_usage_error(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(UsageError, match="cannot write here") as caught:
        write_text(tmp_path / "a.txt", "new")
    assert caught.value.where == str(tmp_path)


@pytest.mark.parametrize("below", ["file/a.txt", "file/deeper/a.txt"])
def test_a_file_in_place_of_a_folder_is_a_usage_error(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write here"):
        write_text(tmp_path / below, "new")


def test_other_errors_of_the_system_keep_their_type(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output") as caught, replacing(tmp_path / "a"):
        raise OSError(errno.EIO, "Input/output error")
    assert caught.value.errno == errno.EIO


def test_json_comes_back_in_the_same_order_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, 2.5], "a": "ü", "c": None})
    first = path.read_bytes()
    assert first == '{\n "b": [\n  1,\n  2.5\n ],\n "a": "ü",\n "c": null\n}\n'.encode()
    assert list(read_json(path)) == ["b", "a", "c"]
    write_json(path, read_json(path))
    assert path.read_bytes() == first


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_refuses_what_is_not_a_number(tmp_path: Path, number: float) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"new": number})
    assert read_json(path) == {"old": 1}


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"", b"[" * 100_000])
def test_a_damaged_json_file_is_a_usage_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="not a readable JSON file") as caught:
        read_json(path)
    assert caught.value.where == str(path)


def test_a_missing_or_impossible_json_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="file not found"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UsageError, match="not a readable"):
        read_json(tmp_path)


def test_table_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [
        {"name": "a, b", "value": 0.123456789, "more": None, "unlisted": 1},
        {"name": 'say "x"', "value": -2.0},
        {"name": "two\nlines", "value": 3},
    ]
    write_csv(path, ("name", "value", "more"), rows)
    assert path.read_bytes() == (
        b'name,value,more\n"a, b",0.123457,\n"say ""x""",-2,\n"two\nlines",3,\n'
    )


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_text_is_never_run_as_a_formula(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, ("case_id",), [{"case_id": text}])
    assert path.read_bytes().splitlines()[1].lstrip(b'"').startswith(b"'")


def test_a_table_comes_back_as_stripped_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfcase_id,label,age\r\n a , healthy\r\nb,unhealthy,3,surplus\r\n")
    assert read_csv(path, ("case_id", "label")) == [
        {"case_id": "a", "label": "healthy", "age": ""},
        {"case_id": "b", "label": "unhealthy", "age": "3"},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"case,label\na,healthy\n", "column case_id is missing; found case, label"),
        (b"", "column case_id, label is missing"),
        (b"case_id,label\n\xff,\n", "not a readable UTF-8 table"),
    ],
)
def test_a_wrong_table_is_a_usage_error(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_csv(path, ("case_id", "label"))
    assert caught.value.where == str(path)


def test_content_hash_is_the_sha_256_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert content_hash(path) == expected


def test_value_hash_depends_on_values_and_not_on_key_order() -> None:
    assert value_hash({"a": 1, "b": [2]}) == value_hash({"b": [2], "a": 1})
    assert value_hash({"a": 1, "b": [2]}) != value_hash({"a": 1, "b": [3]})
    assert value_hash([1, 2]) != value_hash([2, 1])
    assert len(value_hash("")) == 16
    with pytest.raises(ValueError, match="not JSON compliant"):
        value_hash(float("nan"))


def test_the_signature_of_a_file_changes_with_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    os.utime(path, ns=(5, 7))
    assert stat_signature(path) == ("a", 3, 7)
    path.write_bytes(b"abcd")
    assert stat_signature(path)[1] == 4


def leave_unfinished(folder: Path) -> Path:
    """Leave what a killed process leaves, and return it."""
    with pytest.raises(KeyboardInterrupt), replacing(folder / "a.json") as temporary:
        temporary.write_text("half")
        kept = temporary.rename(folder / f"kept{temporary.name}")
        raise KeyboardInterrupt
    return kept.rename(temporary)


def test_only_what_nobody_writes_is_removed(tmp_path: Path) -> None:
    own = leave_unfinished(tmp_path)
    number = str(os.getpid())
    gone = tmp_path / own.name.replace(f"-{number}-", "-4194304-")
    away = tmp_path / own.name.replace(files._host(), "0" * 6)
    old = tmp_path / f"{own.name.replace(files._host(), '1' * 6)}"
    folder = tmp_path / "deep" / gone.name
    folder.mkdir(parents=True)
    for path in (gone, away, old, folder / "x"):
        path.write_text("half")
    os.utime(old, (0, 0))
    (tmp_path / ".hidden.partial").write_text("not ours")
    assert remove_leftovers(tmp_path) == 3
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {own.name, away.name, "deep", ".hidden.partial"}
    os.utime(own, (0, 0))
    assert remove_leftovers(tmp_path) == 1, "written before this process was started"


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "a\\b", "a\nb", "a\x00b", "", "..", ".x", "\udcff", "x" * 300, "a\u2028"],
)
def test_names_that_could_do_harm_are_replaced(name: str) -> None:
    assert not is_safe_name(name)
    assert is_safe_name(safe_name(name))
    assert safe_name(name) != safe_name(f"{name}a")


@pytest.mark.parametrize("name", ["sub-01_ses-2", "Müller 3", "-rf", "=1+1", "a.b"])
def test_ordinary_names_are_kept(name: str) -> None:
    assert is_safe_name(name)
    assert safe_name(name) == name


def test_keys_tell_what_changed() -> None:
    old = compose_key(files="a", plan="b")
    assert explain_change(old, compose_key(files="a", plan="c")) == "plan changed"
    assert explain_change(old, compose_key(files="x", plan="c")) == "files and plan changed"
    assert explain_change("0123", old) == "files and plan changed"


def test_a_file_that_is_gone_has_a_signature_too(tmp_path: Path) -> None:
    assert stat_signature(tmp_path / "none") == ("none", -1, -1)
