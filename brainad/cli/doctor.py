"""brainad_doctor: what is installed, what is missing, and whether it computes what it should."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from brainad.cli.arguments import Parser
from brainad.cli.flags import ROLES
from brainad.cli.runner import EXIT_DONE, EXIT_USAGE, run
from brainad.cli.tables import format_table
from brainad.pipeline.doctor import Check, Usage, examine, examine_scores, measure_disk
from brainad.workspace import locate_roots


def main() -> None:
    """Run brainad_doctor."""
    parser = Parser(
        "brainad_doctor",
        "Show versions, folders and where they come from, device, memory, disk, weights and "
        "models. Nothing is changed and nothing leaves this machine.",
    )
    parser.flag("--self_test", action="store_true",
                help="also predict five phantoms and compare their scores")  # fmt: skip
    parser.flag("--disk", action="store_true",
                help="also list the folders with their sizes and what they are for")  # fmt: skip
    parser.flag("-o", metavar="FOLDER", help="with --disk: an output folder of brainad_predict")
    parser.flag("--json", action="store_true", help="print JSON instead of tables")
    parser.device_flag()
    parser.workspace_flags(*ROLES)
    run(parser, _examine)


def _examine(arguments: argparse.Namespace) -> int:
    roots = locate_roots({role: getattr(arguments, role) for role in ROLES})
    checks = examine(roots, arguments.device)
    if arguments.self_test:
        checks += examine_scores(roots["weights"].path, arguments.device)
    output = Path(arguments.o) if arguments.o else None
    usage = measure_disk(roots, output) if arguments.disk else []
    if arguments.json:
        print(_as_json(checks, usage))
    else:
        print(format_table([{"": c.state, "subject": c.subject, "finding": c.finding, "fix": c.fix}
                            for c in checks]))  # fmt: skip
        if arguments.disk:
            rows = [{"GiB": u.gib, "folder": u.folder, "purpose": u.purpose} for u in usage]
            print(f"\n{format_table(rows)}")
    return EXIT_USAGE if any(check.state == "error" for check in checks) else EXIT_DONE


def _as_json(checks: list[Check], usage: list[Usage]) -> str:
    table = {
        "format_version": 1,
        "checks": [asdict(check) for check in checks],
        "folders": [{**asdict(each), "folder": str(each.folder)} for each in usage],
    }
    return json.dumps(table, indent=1, ensure_ascii=False)
