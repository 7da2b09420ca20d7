"""brainad_build_bank: store healthy scans as the reference for later ones."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from brainad.cli.arguments import Parser
from brainad.cli.flags import (
    add_budget_flag,
    add_process_flag,
    add_rate_flag,
    add_scheduler_flag,
    executor_of,
    rate_of,
    resources_of,
)
from brainad.cli.progress import make_watch
from brainad.cli.runner import EXIT_CASES_FAILED, EXIT_DONE, run
from brainad.errors import UsageError
from brainad.pipeline.bank import build_bank
from brainad.pipeline.folder import FolderOptions
from brainad.pipeline.sources import model_planned_here

_log = logging.getLogger(__name__)
TRAINING_FREE = "codegraph3d"


def main() -> None:
    """Run brainad_build_bank."""
    parser = Parser(
        "brainad_build_bank",
        "Store healthy scans as a bank; brainad_predict -bank then scores each scan alone.",
    )
    parser.flag("-i", required=True, metavar="FOLDER", help="folder with healthy scans")
    parser.flag("-o", required=True, metavar="FOLDER", help="bank to write")
    add_rate_flag(parser)
    parser.flag("--overwrite", action="store_true", help="replace a bank that exists")
    add_process_flag(parser)
    add_scheduler_flag(parser)
    add_budget_flag(parser)
    parser.device_flag()
    parser.workspace_flags("weights")
    run(parser, _build)


def _build(arguments: argparse.Namespace) -> int:
    bank = Path(arguments.o).absolute()
    if bank.exists() and not arguments.overwrite:
        raise UsageError("the bank exists already", str(bank), "choose a new name or --overwrite")
    fpr = rate_of(arguments)
    resources = resources_of(arguments)
    source = Path(arguments.i).absolute()
    choose = model_planned_here(
        bank.with_name(f"{bank.name}.work") / "plans.json",
        source.resolve().name,
        TRAINING_FREE,
        resources,
    )
    watch = make_watch(arguments.disable_progress_bar, arguments.quiet)
    with executor_of(arguments) as executor:
        options = FolderOptions(executor=executor, device=resources.device)
        report = build_bank(source, bank, choose, options, fpr, watch)
    print(f"{bank}: {len(report.used)} scans; thresholds from {report.threshold_source}")
    for name, reason in report.left_out.items():
        _log.warning("left out %s: %s", name, reason)
    return EXIT_CASES_FAILED if report.left_out else EXIT_DONE
