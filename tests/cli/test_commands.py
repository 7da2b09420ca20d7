"""What all commands have in common: names, help, strictness, exit codes, flags that are tried."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tomllib
from argparse import Action
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brainad.cli.arguments import Parser
from brainad.pipeline.dataset import DatasetWork

Command = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parents[2]
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]

# Flags that every command has; their effects are shown in test_runner.py and test_progress.py.
SHARED = {"help", "version", "verbose", "quiet", "json_log", "disable_progress_bar"}

BLOCK_SOCKETS = """
import socket, sys
def refuse(*values, **settings):
    raise PermissionError("a socket was asked for")
class Refused(socket.socket):
    __init__ = refuse
socket.socket = Refused
socket.create_connection = refuse
"""


def load(name: str) -> tuple[Any, Callable[[], None]]:
    module, _, function = SCRIPTS[name].partition(":")
    found = importlib.import_module(module)
    return found, getattr(found, function)


def parser_of(name: str, patch: pytest.MonkeyPatch) -> Parser:
    module, main = load(name)
    made: list[Parser] = []
    patch.setattr(module, "run", lambda parser, _work: made.append(parser))
    main()
    return made[0]


def own_flags(parser: Parser) -> Iterator[Action]:
    """Yield the flags that are a command's own."""
    for action in parser._actions:
        if action.option_strings and action.dest not in SHARED:
            yield action


@pytest.mark.parametrize("name", list(SCRIPTS))
def test_a_command_calls_itself_by_its_name_and_explains_itself(
    command: Command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _, main = load(name)
    code, shown, _ = command(main, "-h")
    assert code == 0
    assert f"usage: {name} " in shown
    assert "not a medical device" in " ".join(shown.split())
    code, shown, _ = command(main, "--version")
    assert (code, shown.split()[0]) == (0, "brainad")
    parser = parser_of(name, monkeypatch)
    assert parser.prog == name
    assert all(action.help or action.choices for action in parser._actions)


@pytest.mark.parametrize("name", list(SCRIPTS))
def test_a_flag_that_is_not_known_ends_the_command_with_a_suggestion(
    command: Command, name: str
) -> None:
    _, main = load(name)
    required = ("-i", "x", "-o", "x", "-d", "x", "-ref", "x", "x", "x")
    code, shown, messages = command(main, *required, "--quite")
    assert (code, shown) == (2, "")
    assert "  fix    " in messages
    assert f"{name} -h lists the arguments" in messages


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "brainad_demo"])
def test_a_mistyped_flag_is_recognised(
    command: Command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _, main = load(name)
    with monkeypatch.context() as patch:
        parser = parser_of(name, patch)
    needed: list[str] = []
    for action in parser._actions:
        if action.required or not action.option_strings:
            count = action.nargs if isinstance(action.nargs, int) else 1
            needed += [*action.option_strings[:1], *["x"] * count]
    code, _, messages = command(main, *needed, "--verbos")
    assert code == 2
    assert "unknown argument --verbos; did you mean --verbose?" in messages


@pytest.mark.parametrize("name", list(SCRIPTS))
def test_every_flag_is_tried_by_a_test(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A flag whose effect no test shows does not ship: it is at least written in one."""
    files = [*ROOT.glob("tests/cli/test_*.py"), *ROOT.glob("tests/pipeline/test_*.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    untried = [
        action.option_strings[0]
        for action in own_flags(parser_of(name, monkeypatch))
        if not any(f'"{spelling}"' in text for spelling in action.option_strings)
    ]
    assert untried == []


@pytest.mark.parametrize("name", list(SCRIPTS))
def test_one_dash_and_two_dashes_and_hyphens_are_the_same(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for action in own_flags(parser_of(name, monkeypatch)):
        for spelling in action.option_strings:
            word = spelling.lstrip("-")
            if len(word) > 1:
                assert {f"--{word}", f"--{word.replace('_', '-')}"} <= set(action.option_strings)


def test_a_fresh_interpreter_predicts_the_same_bytes_without_a_network(
    phantom_work: DatasetWork,
    phantom_predictions: Path,
    results_of: Callable[[Path], dict[str, bytes]],
    tmp_path: Path,
) -> None:
    """Neither processes nor runs differ: hospitals validate versions."""
    program = f"{BLOCK_SOCKETS}\nfrom brainad.cli.predict import main\nmain()"
    arguments = [
        "-i", phantom_work.raw / "imagesTr", "-o", tmp_path / "out", "-d", phantom_work.raw,
        "--preprocessed", phantom_work.derived.parent, "-c", "codegraph3d", "-np", "1",
        "-device", "cpu", "--no_report",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("phantom_") == 7
    assert "restore 7/7" in done.stderr
    assert results_of(tmp_path / "out") == results_of(phantom_predictions)
