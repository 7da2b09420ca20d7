"""brainad_find_best_configuration: compare what was trained on a dataset."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from brainad.cli.arguments import Parser
from brainad.cli.flags import DATASET_ROLES, workspace_of
from brainad.cli.runner import EXIT_DONE, run
from brainad.cli.tables import format_table
from brainad.evaluation.comparison import METRICS
from brainad.pipeline.best_configuration import INFORMATION_FILE, find_best_configuration
from brainad.pipeline.evaluate import find_truth


def main() -> None:
    """Run brainad_find_best_configuration."""
    parser = Parser(
        "brainad_find_best_configuration",
        "Compare the configurations that were trained on the same folds, on their validation "
        "cases; brainad_predict -d DATASET then uses the best.",
    )
    parser.add_argument("dataset", help="number, name or path of the raw dataset")
    parser.flag("-c", nargs="+", default=[], metavar="CONFIGURATION",
                help="which to compare (default: all that were trained)")  # fmt: skip
    parser.flag("-metric", choices=list(METRICS), default="patient_auroc",
                help="what to compare (default patient_auroc)")  # fmt: skip
    parser.workspace_flags(*DATASET_ROLES)
    run(parser, _find)


def _find(arguments: argparse.Namespace) -> int:
    workspace = workspace_of(arguments)
    dataset = workspace.dataset_folder(arguments.dataset)
    results = workspace.results_folder(dataset)
    comparison = find_best_configuration(
        results,
        workspace.preprocessed_folder(dataset),
        find_truth(dataset),
        arguments.metric,
        arguments.c,
    )
    rows = [{**asdict(ranked), "metric": comparison.metric} for ranked in comparison.ranking]
    print(format_table(rows))
    best = comparison.ranking[0].name
    print(f"best: {best}, {comparison.because}")
    print(f"written to {results / INFORMATION_FILE}")
    print(f"next: brainad_predict -i SCANS -o OUT -d {dataset.name}  (uses {best})")
    return EXIT_DONE
