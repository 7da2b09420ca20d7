from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from brainad.cli import bank, dataset, flags, predict
from brainad.cli.arguments import Parser
from brainad.cli.flags import (
    ROLES,
    add_budget_flag,
    add_process_flag,
    add_share_flags,
    executor_of,
    resources_of,
    share_of,
    workspace_of,
)
from brainad.errors import UsageError
from brainad.pipeline import executors
from brainad.pipeline.cases import Share
from brainad.pipeline.executors import Processes

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def parser() -> Parser:
    made = Parser("brainad_test", "")
    made.workspace_flags(*ROLES)
    made.device_flag()
    add_share_flags(made)
    add_budget_flag(made)
    add_process_flag(made)
    return made


@pytest.mark.parametrize("role", ROLES)
def test_a_root_on_the_command_line_stands_above_the_environment(
    parser: Parser, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, role: str
) -> None:
    monkeypatch.setenv(f"brainad_{role}", str(tmp_path / "environment"))
    named = workspace_of(parser.parse_strictly([f"--{role}", str(tmp_path / "flag")]))
    assert getattr(named, role) == tmp_path / "flag"
    assert getattr(workspace_of(parser.parse_strictly([])), role) == tmp_path / "environment"


def test_roots_without_a_flag_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("brainad_raw", str(tmp_path))
    assert workspace_of(Parser("brainad_test", "").parse_strictly([])).raw == tmp_path


@pytest.mark.parametrize(
    ("arguments", "share"),
    [
        ([], Share(1, 0)),
        (["-num_parts", "3"], Share(3, 0)),
        (["-num_parts", "3", "-part_id", "2"], Share(3, 2)),
        (["--num-parts", "2", "--part-id", "1"], Share(2, 1)),
    ],
)
def test_shares(parser: Parser, arguments: list[str], share: Share) -> None:
    assert share_of(parser.parse_strictly(arguments)) == share


@pytest.mark.parametrize(
    "arguments", [["-part_id", "1"], ["-num_parts", "2", "-part_id", "2"], ["-num_parts", "0"]]
)
def test_a_share_that_does_not_exist_is_refused(parser: Parser, arguments: list[str]) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        share_of(parser.parse_strictly(arguments))


def test_an_array_job_sets_the_share_unless_a_flag_does(
    parser: Parser, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {"TASK_ID": "5", "TASK_COUNT": "4", "TASK_MIN": "2"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_{name}", value)
    with caplog.at_level("INFO", "brainad"):
        assert share_of(parser.parse_strictly([])) == Share(4, 3)
    assert "part 3 of 4, from the SLURM array job" in caplog.text
    assert share_of(parser.parse_strictly(["-num_parts", "2"])) == Share(2, 0)


@pytest.mark.parametrize("spelling", ["-np", "-npp", "--np", "--npp"])
def test_processes_are_those_asked_for(parser: Parser, spelling: str) -> None:
    for asked, count in (("3", 3), ("0", 1)):
        with executor_of(parser.parse_strictly([spelling, asked])) as executor:
            assert executor == Processes(count)


def test_otherwise_processes_fit_the_machine(
    parser: Parser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flags, "process_count", lambda: 7)
    with executor_of(parser.parse_strictly([])) as executor:
        assert executor == Processes(7)


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.parametrize(
    "main", [predict.main, bank.main, dataset.preprocess, dataset.plan_and_preprocess]
)
def test_a_scheduler_is_looked_for_before_work_starts(
    command: Command,
    phantom_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    main: Callable[[], None],
) -> None:
    monkeypatch.setattr(executors, "_SECONDS_TO_CONNECT", 0.2)
    if main in (predict.main, bank.main):
        given = ("-i", phantom_dataset / "imagesTr", "-o", tmp_path / "out")
    else:
        given = ("-d", phantom_dataset, "--preprocessed", tmp_path / "preprocessed")
    code, _, messages = command(main, *given, "-scheduler", "tcp://127.0.0.1:9")
    assert code == 2
    assert "ERROR  no Dask scheduler answers" in messages
    assert "  where  tcp://127.0.0.1:9" in messages
    assert not list(tmp_path.rglob("*.json"))


def test_device_budget_and_weights_describe_the_machine(parser: Parser, tmp_path: Path) -> None:
    arguments = ["-device", "cpu", "-seconds_per_case", "4.5", "--weights", str(tmp_path)]
    measured = resources_of(parser.parse_strictly(arguments))
    assert (measured.device, measured.seconds_per_case) == ("cpu", 4.5)
    assert measured.weights == tmp_path
    assert "dinov2_vits14" not in measured.encoders
    with pytest.raises(UsageError, match="unknown device 'abacus'"):
        resources_of(parser.parse_strictly(["-device", "abacus"]))
