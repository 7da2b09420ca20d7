"""Models in a zip: what travels, and what is refused before a byte leaves the scratch folder."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from brainad import model_folder
from brainad.errors import UsageError
from brainad.model_folder import StoredModel
from brainad.pipeline import share
from brainad.pipeline.share import SUMS_FILE, export_models, install_models, opened
from brainad.plan import Plan

Files = dict[str, bytes]
DATASET, TRAINER = "Dataset501_Heads", "brainadTrainer__brainadPlans__codegraph3d"


def write_model(folder: Path, plan: Plan, value: int = 3) -> Path:
    state = {"tokens": np.arange(12, dtype=np.float32).reshape(3, 4), "grid": [value]}
    card = {"name": folder.name, "licence": "MIT"}
    model_folder.write(folder, StoredModel(plan, "codegraph3d", state, None, card))
    return folder


@pytest.fixture
def results(tmp_path: Path, plan: Plan) -> Path:
    """Make a results root with two folds."""
    for number in (0, 1):
        write_model(tmp_path / "made" / DATASET / TRAINER / f"fold_{number}", plan, number)
    return tmp_path / "made"


@pytest.fixture
def archive(results: Path, tmp_path: Path) -> Path:
    path = tmp_path / "models.zip"
    export_models(sorted(results.glob("*/*/fold_*")), results, path)
    return path


def contents(path: Path) -> Files:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def everything_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_models_are_installed_where_they_were(archive: Path, results: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    installed = install_models(archive, elsewhere)
    assert installed.folders == [elsewhere / DATASET / TRAINER / f"fold_{n}" for n in (0, 1)]
    assert installed.licences == ["MIT", "MIT"]
    assert everything_below(elsewhere) == everything_below(results)
    for folder in installed.folders:
        source = results / folder.relative_to(elsewhere)
        assert model_folder.read(folder).model_id == model_folder.read(source).model_id


def test_the_same_models_make_the_same_zip(archive: Path, results: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    export_models(sorted(results.glob("*/*/fold_*")), results, again)
    assert again.read_bytes() == archive.read_bytes()
    assert "MIT" in contents(archive)["LICENSE"].decode()


def test_a_changed_model_is_not_exported(results: Path, tmp_path: Path) -> None:
    folder = results / DATASET / TRAINER / "fold_0"
    (folder / "state.safetensors").write_bytes(b"changed")
    with pytest.raises(UsageError):
        export_models([folder], results, tmp_path / "models.zip")
    assert not (tmp_path / "models.zip").exists()


def test_nothing_is_overwritten_without_the_flag(archive: Path, plan: Plan, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    there = write_model(elsewhere / DATASET / TRAINER / "fold_1", plan, value=9)
    before = model_folder.read(there).model_id
    with pytest.raises(UsageError, match="1 of 2 models exist already"):
        install_models(archive, elsewhere)
    assert model_folder.read(there).model_id == before
    assert not there.with_name("fold_0").exists()
    install_models(archive, elsewhere, overwrite=True)
    assert model_folder.read(there).model_id != before


def test_a_check_changes_nothing(archive: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    checked = install_models(archive, elsewhere, check_only=True)
    assert [folder.name for folder in checked.folders] == ["fold_0", "fold_1"]
    assert everything_below(elsewhere) == set()


def test_a_zip_is_used_without_being_installed(archive: Path, results: Path) -> None:
    with opened(archive) as folder:
        names = sorted(path.name for path in folder.glob("fold_*"))
        kept = folder
    assert names == ["fold_0", "fold_1"]
    assert not kept.exists()
    with opened(results) as folder:
        assert folder == results


def named(name: str) -> Callable[[Files], Files]:
    return lambda files: {**files, name: b"x"}


def without(ending: str) -> Callable[[Files], Files]:
    return lambda files: {k: v for k, v in files.items() if not k.endswith(ending)}


def flipped(files: Files) -> Files:
    name = next(name for name in files if name.endswith(".safetensors"))
    return {**files, name: files[name][:-1] + bytes([files[name][-1] ^ 1])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (named("../outside"), "not a safe file name"),
        (named("a/../../outside"), "not a safe file name"),
        (named("/outside"), "not a safe file name"),
        (named("a\\..\\outside"), "not a safe file name"),
        (named("-rf"), "not a safe file name"),
        (named("a\nb"), "not a safe file name"),
        (named(SUMS_FILE.lower()), "two files have the same name"),
        (named("model.pkl"), "and the files differ: model.pkl"),
        (without(SUMS_FILE), "has no SHA256SUMS"),
        (without("fold_0/plans.json"), "and the files differ"),
        (flipped, "does not match its SHA-256"),
        (lambda _: {SUMS_FILE: b""}, "holds no model"),
    ],
)
def test_a_bad_zip_is_refused_and_leaves_nothing(
    archive: Path, tmp_path: Path, change: Callable[[Files], Files], message: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    bad = write_zip(place / "bad.zip", change(contents(archive)))
    with pytest.raises(UsageError, match=message):
        install_models(bad, place / "results")
    assert everything_below(place) == {"bad.zip", "results"}


def test_links_are_refused(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive, "a") as file:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    with pytest.raises(UsageError, match="'link' is not a safe file name"):
        install_models(archive, tmp_path / "results")


def test_sizes_beyond_reason_are_refused(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share, "LARGEST_BYTES", 1000)
    with pytest.raises(UsageError, match="are accepted"):
        install_models(archive, tmp_path / "results")


def test_more_bytes_than_declared_are_refused(archive: Path, tmp_path: Path) -> None:
    files = contents(archive)
    name = next(name for name in files if name.endswith("plans.json"))
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, bytes(10_000_000))
        file.infolist()[0].file_size = 10
    with pytest.raises(UsageError):
        install_models(bomb, tmp_path / "results")
    assert everything_below(tmp_path / "results") == set()


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_packing_is_refused(archive: Path, tmp_path: Path, packing: int) -> None:
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("packed", "x", packing)
    with pytest.raises(UsageError, match="packed is neither deflated nor stored"):
        install_models(archive, tmp_path / "results")


def test_a_zip_without_its_start_is_not_readable(archive: Path, tmp_path: Path) -> None:
    archive.write_bytes(archive.read_bytes()[8:])
    with pytest.raises(UsageError, match="not a readable zip"):
        install_models(archive, tmp_path / "results")
    assert everything_below(tmp_path / "results") == set()


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip at all"])
def test_what_is_not_a_zip_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "models.zip"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="not a readable zip"):
        install_models(path, tmp_path / "results")
    with pytest.raises(UsageError, match="file not found"):
        install_models(tmp_path / "absent.zip", tmp_path / "results")


def test_one_zip_holds_one_configuration(
    archive: Path, results: Path, plan: Plan, tmp_path: Path
) -> None:
    other = write_model(results / DATASET / TRAINER.replace("codegraph3d", "other") / "f", plan)
    both = [other, results / DATASET / TRAINER / "fold_0"]
    export_models(both, results, archive)
    with pytest.raises(UsageError, match="several configurations"):
        install_models(archive, tmp_path / "elsewhere")
