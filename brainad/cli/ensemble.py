"""brainad_ensemble: average the predictions of several models."""

from __future__ import annotations

import argparse
from pathlib import Path

from brainad.cli.arguments import Parser
from brainad.cli.progress import make_watch
from brainad.cli.runner import EXIT_CASES_FAILED, EXIT_DONE, run
from brainad.cli.tables import format_table
from brainad.pipeline.ensemble import ensemble_folders


def main() -> None:
    """Run brainad_ensemble."""
    parser = Parser(
        "brainad_ensemble",
        "Average the calibrated maps and scores of several prediction folders and make new masks.",
    )
    parser.flag("-i", required=True, nargs="+", metavar="FOLDER",
                help="output folders of brainad_predict, for the same scans")  # fmt: skip
    parser.flag("-o", required=True, metavar="FOLDER", help="output folder")
    parser.flag("-weights", type=float, nargs="+", default=[], metavar="WEIGHT",
                help="one per folder (default: all alike)")  # fmt: skip
    parser.flag("-min_size_mm3", type=float, default=0.0, help="drop smaller components")
    run(parser, _ensemble)


def _ensemble(arguments: argparse.Namespace) -> int:
    markers = ensemble_folders(
        [Path(folder) for folder in arguments.i],
        Path(arguments.o),
        arguments.weights,
        arguments.min_size_mm3,
        make_watch(arguments.disable_progress_bar, arguments.quiet),
    )
    columns = ("case_id", "score", "prediction", "anomalous_volume_mm3", "status")
    print(format_table([{name: marker.row.get(name) for name in columns} for marker in markers]))
    return EXIT_CASES_FAILED if any(marker.failure for marker in markers) else EXIT_DONE
