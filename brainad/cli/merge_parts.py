"""brainad_merge_parts: one result from the parts of a run that several machines shared."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from brainad.cli.arguments import Parser
from brainad.cli.runner import EXIT_CASES_FAILED, EXIT_DONE, run
from brainad.pipeline.parts import merge_parts

_log = logging.getLogger(__name__)
_SHOWN = 5


def main() -> None:
    """Run brainad_merge_parts."""
    parser = Parser(
        "brainad_merge_parts",
        "Join the tables of the parts (-num_parts, -part_id) of a run and say what is missing.",
    )
    parser.flag("-o", required=True, metavar="FOLDER", help="output folder that the parts share")
    run(parser, _merge)


def _merge(arguments: argparse.Namespace) -> int:
    target = Path(arguments.o)
    merged = merge_parts(target)
    print(
        f"{target}: {len(merged.done)} cases done, {len(merged.failed)} failed, "
        f"{len(merged.missing_cases)} missing; {merged.part_count} parts"
    )
    if merged.missing_parts:
        numbers = ", ".join(map(str, merged.missing_parts))
        _log.error("parts that have not come to their end: %s; run them (again)", numbers)
    elif merged.missing_cases:
        _log.error(
            "%d cases are not delivered, e.g. %s; run brainad_predict once more without "
            "-num_parts: it scores the cohort with what the parts have prepared",
            len(merged.missing_cases),
            ", ".join(merged.missing_cases[:_SHOWN]),
        )
    if merged.failed:
        _log.warning("%d cases failed, see %s", len(merged.failed), target / "failed_cases.csv")
    complete = not (merged.failed or merged.missing_parts or merged.missing_cases)
    return EXIT_DONE if complete else EXIT_CASES_FAILED
