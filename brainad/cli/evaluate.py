"""brainad_evaluate_folder: compare results with the truth."""

from __future__ import annotations

import argparse
from pathlib import Path

from brainad.cli.arguments import Parser
from brainad.cli.progress import make_watch
from brainad.cli.runner import EXIT_CASES_FAILED, EXIT_DONE, run
from brainad.cli.tables import format_table
from brainad.errors import UsageError
from brainad.pipeline.evaluate import evaluate_folder, find_truth
from brainad.summary import Summary


def main() -> None:
    """Run brainad_evaluate_folder."""
    parser = Parser(
        "brainad_evaluate_folder", "Evaluate a prediction folder; writes summary.json there."
    )
    parser.add_argument("truth", help="raw dataset folder, or a folder of masks")
    parser.add_argument("predictions", help="output folder of brainad_predict")
    parser.flag("-cases", metavar="FILE", help="cases.csv with labels, if not beside the truth")
    run(parser, _evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    predictions = Path(arguments.predictions)
    if not predictions.is_dir():
        raise UsageError("no such folder", str(predictions), "give the folder of the predictions")
    table = Path(arguments.cases) if arguments.cases else None
    watch = make_watch(arguments.disable_progress_bar, arguments.quiet)
    summary = evaluate_folder(find_truth(Path(arguments.truth), table), predictions, watch)
    print_summary(summary)
    print(f"written to {predictions / 'summary.json'}")
    absent = summary.n_cases["missing"] + summary.n_cases["failed"]
    return EXIT_CASES_FAILED if absent else EXIT_DONE


def print_summary(summary: Summary) -> None:
    """Print the metrics by level; numbers named best_ or oracle_ used the truth."""
    levels = {
        "patient": summary.patient_level,
        "slice": summary.slice_level,
        "voxel": summary.pixel_level,
        **{f"{group} cases": metrics for group, metrics in summary.by_group.items()},
    }
    rows = [
        {"level": level, "metric": name, "value": value}
        for level, metrics in levels.items()
        for name, value in metrics.items()
        if not isinstance(value, (dict, list, tuple))
    ]
    print(format_table(rows))
