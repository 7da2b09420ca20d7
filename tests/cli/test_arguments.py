from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from brainad.cli.arguments import Parser, count


@pytest.fixture
def parser() -> Parser:
    made = Parser("brainad_test", "Tries things out.")
    made.flag("-num_parts", type=count, default=1)
    made.flag("-d", "--dataset")
    made.flag("--dry_run", action="store_true")
    return made


@pytest.mark.parametrize("spelling", ["-num_parts", "--num_parts", "--num-parts"])
def test_every_spelling_is_the_same_flag(parser: Parser, spelling: str) -> None:
    assert parser.parse_strictly([spelling, "3"]).num_parts == 3


@pytest.mark.parametrize("spelling", ["--dry_run", "--dry-run"])
def test_switches_are_off_until_they_are_named(parser: Parser, spelling: str) -> None:
    assert parser.parse_strictly([]).dry_run is False
    assert parser.parse_strictly([spelling]).dry_run is True


@pytest.mark.parametrize("spelling", ["-d", "--dataset"])
def test_a_short_flag_keeps_the_long_name(parser: Parser, spelling: str) -> None:
    assert parser.parse_strictly([spelling, "501"]).dataset == "501"


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("--num_part=3", "unknown argument --num_part=3; did you mean --num_parts?"),
        ("--dryrun", "unknown argument --dryrun; did you mean --dry_run?"),
        ("--qqqqqqqq", "unknown argument --qqqqqqqq\n"),
        ("stray", "unknown argument stray"),
    ],
)
def test_what_is_unknown_ends_with_a_suggestion(
    parser: Parser, capsys: pytest.CaptureFixture[str], argument: str, hint: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        parser.parse_strictly([argument])
    assert caught.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"ERROR  {hint}" in shown.err
    assert "  fix    brainad_test -h lists the arguments" in shown.err


def test_names_are_not_guessed_from_their_beginning(parser: Parser) -> None:
    with pytest.raises(SystemExit):
        parser.parse_strictly(["--num", "3"])


def test_help_tells_what_the_software_is_not(
    parser: Parser, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parser.parse_strictly(["-h"])
    assert caught.value.code == 0
    assert "not a medical device" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["-1", "1.5", "many"])
def test_counts_are_whole_and_not_negative(text: str) -> None:
    assert count("0") == 0
    with pytest.raises((ArgumentTypeError, ValueError)):
        count(text)


def test_only_the_roots_that_a_command_uses_are_flags(parser: Parser, tmp_path: Path) -> None:
    parser.workspace_flags("raw")
    assert parser.parse_strictly(["--raw", str(tmp_path)]).raw == str(tmp_path)
    with pytest.raises(SystemExit):
        parser.parse_strictly(["--results", str(tmp_path)])
