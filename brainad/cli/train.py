"""brainad_train: train one fold of a method on a prepared dataset."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from brainad.cli.arguments import Parser
from brainad.cli.flags import ROLES, workspace_of
from brainad.cli.progress import make_watch
from brainad.cli.runner import EXIT_DONE, log_to_file, run
from brainad.errors import UsageError
from brainad.pipeline.dataset import PLAN_FILE
from brainad.pipeline.planning import read_plan
from brainad.pipeline.resources import measure_resources
from brainad.pipeline.train import Fold, TrainingOptions, train_fold
from brainad.pipeline.trained import ALL

_log = logging.getLogger(__name__)


def main() -> None:
    """Run brainad_train."""
    parser = Parser(
        "brainad_train",
        "Train a method on a prepared dataset. Run it again to continue after a stop.",
    )
    parser.add_argument("dataset", metavar="DATASET", help="501, Dataset501_X, or a path")
    parser.add_argument("configuration", metavar="METHOD", nargs="?",
                        help="configuration, a method (default: that of the plan)")  # fmt: skip
    parser.add_argument("fold", metavar="FOLD", nargs="?", default=ALL,
                        help="0 to 4, or all (default all)")  # fmt: skip
    parser.flag("-seed", type=int, help="start of every random choice (default: planned)")
    parser.flag("-fpr", type=float, default=0.05,
                help="share of healthy people that may be flagged (default 0.05)")  # fmt: skip
    parser.flag("--c", "--continue_training", dest="c", action="store_true",
                help="accepted; training always continues")  # fmt: skip
    parser.flag("--val", action="store_true", help="only judge the held-out cases again")
    parser.flag("--overwrite", action="store_true", help="train anew even if it is finished")
    parser.flag("-tr", metavar="NAME", help="accepted and reserved")
    parser.device_flag()
    parser.workspace_flags(*ROLES)
    run(parser, _train)


def _train(arguments: argparse.Namespace) -> int:
    if not 0 < arguments.fpr < 1:
        raise UsageError(f"-fpr is {arguments.fpr}", "-fpr", "choose a rate between 0 and 1")
    workspace = workspace_of(arguments)
    raw = workspace.dataset_folder(arguments.dataset)
    derived = workspace.preprocessed_folder(raw)
    configuration = arguments.configuration or _default(derived, raw.name)
    fold = Fold(raw, derived, workspace.results_folder(raw), configuration, arguments.fold)
    log_to_file(fold.folder / "training_log.txt")
    resources = measure_resources(workspace.weights, arguments.device)
    options = TrainingOptions(
        seed=arguments.seed,
        overwrite=arguments.overwrite,
        validate_only=arguments.val,
        fpr=arguments.fpr,
    )
    watch = make_watch(arguments.disable_progress_bar, arguments.quiet)
    report = train_fold(fold, resources, options, watch)
    state = "trained" if report.trained else "was trained before"
    print(f"{report.folder}: {state} on {report.cases} cases, {report.held_out} held out")
    source = report.calibration.source if report.calibration else "none"
    print(f"thresholds: {source}")
    print(f"use it with: brainad_predict -i IN -o OUT -d {raw.name} -c {configuration}")
    return EXIT_DONE


def _default(derived: Path, dataset: str) -> str:
    path = derived / PLAN_FILE
    if not path.is_file():
        raise UsageError(
            "the dataset is not planned yet",
            str(derived),
            f"run brainad_plan_and_preprocess -d {dataset}",
        )
    chosen = read_plan(path).default_configuration
    _log.info("configuration %s, the default of the plan", chosen)
    return chosen
