"""Flag spellings: nnU-Net's one-dash form, with the two-dash forms as aliases."""

from __future__ import annotations

import argparse
import difflib
import sys
from importlib.metadata import version
from typing import Any, NoReturn

RESEARCH_NOTICE = "brainad is research software, not a medical device."


class Parser(argparse.ArgumentParser):
    """An argument parser that takes no unknown flag and suggests the one that was meant."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, epilog=RESEARCH_NOTICE,
                         allow_abbrev=False)  # fmt: skip
        self.add_argument("--version", action="version", version=f"brainad {version('brainad')}")
        self.flag("--verbose", action="store_true", help="log details and tracebacks")
        self.flag("-q", "--quiet", action="store_true", help="log warnings and errors only")
        self.flag("--json_log", metavar="FILE", help="also log one JSON object per line here")
        self.flag("--disable_progress_bar", "--no_pbar", action="store_true",
                  help="lines instead of a progress bar")  # fmt: skip

    def flag(self, *names: str, **settings: Any) -> None:
        """Add a flag under its name, and under ``--name`` and ``--na-me`` as aliases."""
        spellings = list(names)
        for name in names:
            word = name.lstrip("-")
            if len(word) > 1:
                spellings += [f"--{word}", f"--{word.replace('_', '-')}"]
        settings.setdefault("dest", names[-1 if len(names[0]) == 2 and len(names) > 1 else 0]
                            .lstrip("-").replace("-", "_"))  # fmt: skip
        self.add_argument(*dict.fromkeys(spellings), **settings)

    def workspace_flags(self, role: str, *others: str) -> None:
        """Add the flags that say where the root folders are that a command uses."""
        for name in (role, *others):
            self.flag(f"--{name}", metavar="FOLDER", help=f"{name} folder (else brainad_{name})")

    def device_flag(self) -> None:
        """Add the choice of the device."""
        self.flag("-device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default auto)")

    def parse_strictly(self, arguments: list[str] | None = None) -> argparse.Namespace:
        """Parse; an unknown flag ends with exit code 2 and a suggestion."""
        known, unknown = self.parse_known_args(arguments)
        if unknown:
            spellings = [text for action in self._actions for text in action.option_strings]
            close = difflib.get_close_matches(unknown[0].split("=")[0], spellings, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            self.error(f"unknown argument {unknown[0]}{hint}")
        return known

    def error(self, message: str) -> NoReturn:
        """Print usage and message to stderr and exit with code 2."""
        self.print_usage(sys.stderr)
        self.exit(2, f"ERROR  {message}\n  fix    {self.prog} -h lists the arguments\n")


def count(text: str) -> int:
    """Parse a whole number ≥ 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value
