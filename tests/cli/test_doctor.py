from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from brainad.cli import doctor as module
from brainad.cli.doctor import main
from brainad.pipeline.doctor import Check

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name a home without anything in it."""
    monkeypatch.setenv("BRAINAD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def checks_of(shown: str) -> dict[str, dict[str, str]]:
    return {check["subject"]: check for check in json.loads(shown)["checks"]}


def test_tables_are_for_people(command: Command, home: Path) -> None:
    code, shown, _ = command(main)
    assert code == 0
    assert "folder raw" in shown
    assert str(home) in shown
    assert "purpose" not in shown
    assert not home.exists()


@pytest.mark.parametrize("role", ["raw", "preprocessed", "results", "weights"])
def test_every_root_can_be_named(command: Command, home: Path, tmp_path: Path, role: str) -> None:
    code, shown, _ = command(main, "--json", f"--{role}", tmp_path)
    assert code == 0
    checks = checks_of(shown)
    assert f"{tmp_path} (from --{role}): exists" in checks[f"folder {role}"]["finding"]
    assert sum(str(home) in check["finding"] for check in checks.values()) >= 3


def test_what_a_run_could_not_do_changes_the_exit_code(command: Command, home: Path) -> None:
    code, shown, _ = command(main, "--json", "-device", "gpu9")
    assert code == 2
    checks = checks_of(shown)
    assert set(checks["device"]) == {"subject", "state", "finding", "fix"}
    assert checks["device"]["state"] == "error"
    assert not home.exists()


def test_the_disk_of_an_output_folder_is_listed(
    command: Command, home: Path, tmp_path: Path
) -> None:
    prepared = tmp_path / "out" / ".brainad" / "prepared"
    prepared.mkdir(parents=True)
    (prepared / "x").write_bytes(bytes(1024**2))
    (home / "raw" / "Dataset001_X").mkdir(parents=True)
    code, shown, _ = command(main, "--disk", "-o", tmp_path / "out")
    assert code == 0
    assert str(prepared) in shown
    assert "rebuilt by the next run" in shown
    assert "cannot be rebuilt" in shown
    folders = json.loads(command(main, "--disk", "-o", tmp_path / "out", "--json")[1])["folders"]
    assert {each["folder"]: each["gib"] for each in folders}[str(prepared)] == 1 / 1024


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("error", 2)])
def test_the_self_test_is_made_when_asked_for(
    command: Command,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    code: int,
) -> None:
    asked = []

    def examine_scores(weights: Path, device: str) -> list[Check]:
        asked.append((weights, device))
        return [Check("self test", state, "as stored")]  # type: ignore[arg-type]

    monkeypatch.setattr(module, "examine_scores", examine_scores)
    assert command(main)[0] == 0
    assert asked == []
    flags = ("--self_test", "--weights", tmp_path, "-device", "cpu")
    found, shown, _ = command(main, *flags)
    assert found == code
    assert asked == [(tmp_path, "cpu")]
    assert "as stored" in shown
    assert not home.exists()
