"""Commands on raw datasets: verify, measure, plan, preprocess."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from brainad.cli.arguments import Parser
from brainad.cli.flags import (
    DATASET_ROLES,
    add_budget_flag,
    add_process_flag,
    add_scheduler_flag,
    add_share_flags,
    executor_of,
    resources_of,
    share_of,
    workspace_of,
)
from brainad.cli.progress import make_watch
from brainad.cli.runner import EXIT_CASES_FAILED, EXIT_DONE, run
from brainad.cli.tables import format_table
from brainad.encoders.device import choose_device
from brainad.errors import UsageError
from brainad.files import write_json
from brainad.input_folder import find_cases
from brainad.pipeline.cases import Outcome
from brainad.pipeline.dataset import DatasetWork, verify_dataset
from brainad.pipeline.failed_cases import FAILURES_FILE
from brainad.pipeline.folder import describe_input
from brainad.pipeline.inspect import inspect_cases, log_problems
from brainad.plan import Plan
from brainad.preprocessing.problem import Problem, has_errors

_log = logging.getLogger(__name__)


def _dataset_parser(prog: str, description: str) -> Parser:
    parser = Parser(prog, description)
    parser.flag("-d", "--dataset", nargs="+", required=True, metavar="DATASET",
                help="501, Dataset501_X, or a path; several are allowed")  # fmt: skip
    add_process_flag(parser)
    parser.workspace_flags(*DATASET_ROLES)
    return parser


@contextmanager
def _works(arguments: argparse.Namespace) -> Iterator[list[DatasetWork]]:
    workspace = workspace_of(arguments)
    watch = make_watch(arguments.disable_progress_bar, arguments.quiet)
    folders = [workspace.dataset_folder(name) for name in arguments.dataset]
    with executor_of(arguments) as executor:
        yield [
            DatasetWork(folder, workspace.preprocessed_folder(folder), watch, executor)
            for folder in folders
        ]


def verify_dataset_main() -> None:
    """Run brainad_verify_dataset."""
    parser = Parser("brainad_verify_dataset", "Check a raw dataset or a folder of scans.")
    parser.flag("-d", "--dataset", nargs="+", metavar="DATASET", help="501, name or path")
    parser.flag("-i", metavar="FOLDER", help="a plain folder of scans instead of a dataset")
    parser.flag("-o", metavar="FILE", help="also write the findings as JSON")
    parser.flag("--strict", action="store_true", help="warnings count as errors")
    add_process_flag(parser)
    parser.workspace_flags(*DATASET_ROLES)
    run(parser, _verify)


def _verify(arguments: argparse.Namespace) -> int:
    if bool(arguments.i) == bool(arguments.dataset):
        raise UsageError("give either -d or -i", "brainad_verify_dataset", "see -h")
    problems: list[Problem] = []
    if arguments.i:
        problems += _verify_folder(Path(arguments.i), arguments)
    else:
        with _works(arguments) as works:
            for work in works:
                problems += verify_dataset(*work.inspect(), work.derived)
    rows = [
        {"level": p.level, "case": p.case_id, "check": p.check, "message": p.message, "fix": p.fix}
        for p in problems
    ]
    print(format_table(rows) if rows else "no problems found")
    if arguments.o:
        tables = [{**asdict(p), "files": [str(file) for file in p.files]} for p in problems]
        write_json(Path(arguments.o), {"format_version": 1, "problems": tables})
    warned = any(problem.level == "warning" for problem in problems)
    bad = has_errors(problems) or (arguments.strict and warned)
    return EXIT_CASES_FAILED if bad else EXIT_DONE


def _verify_folder(folder: Path, arguments: argparse.Namespace) -> Sequence[Problem]:
    found = find_cases(folder)
    describe_input(found)
    scratch = workspace_of(arguments).preprocessed / "checked_folders" / folder.resolve().name
    watch = make_watch(arguments.disable_progress_bar, arguments.quiet)
    with executor_of(arguments) as executor:
        inspection = inspect_cases(found.cases, scratch, None, watch, executor)
    clashes = [
        Problem("error", name, "files", error.what, error.fix)
        for name, error in found.failures.items()
    ]
    return [*clashes, *inspection.problems]


def extract_fingerprint() -> None:
    """Run brainad_extract_fingerprint."""
    parser = _dataset_parser("brainad_extract_fingerprint", "Check and measure a raw dataset.")
    parser.flag("--clean", action="store_true", help="measure again from scratch")
    run(parser, _fingerprint)


def _fingerprint(arguments: argparse.Namespace) -> int:
    with _works(arguments) as works:
        failed = [_measure(work, arguments.clean) for work in works]
    return EXIT_CASES_FAILED if any(failed) else EXIT_DONE


def _measure(work: DatasetWork, clean: bool) -> bool:
    """Write the fingerprint, print what it says, and tell whether a case cannot be used."""
    if clean:
        work.clean()
    dataset, inspection = work.inspect()
    log_problems(inspection.problems)
    fingerprint = inspection.fingerprint
    print(f"{work.raw.name}: {len(fingerprint.cases)} cases, labels: {fingerprint.label_level}")
    print(format_table([{"channel": c, "share of cases": s}
                        for c, s in fingerprint.channel_coverage.items()]))  # fmt: skip
    return bool(inspection.failures or dataset.failures)


def _planning_parser(prog: str, description: str) -> Parser:
    parser = _dataset_parser(prog, description)
    parser.workspace_flags("weights")
    parser.device_flag()
    add_budget_flag(parser)
    parser.flag("-overwrite_target_spacing", type=float, metavar="MM",
                help="voxel edge of the working grid (default: planned)")  # fmt: skip
    return parser


def plan_experiment() -> None:
    """Run brainad_plan_experiment."""
    parser = _planning_parser(
        "brainad_plan_experiment", "Plan anew how a dataset is prepared and which methods can run."
    )
    run(parser, _plan_anew)


def _plan_anew(arguments: argparse.Namespace) -> int:
    with _works(arguments) as works:
        for work in works:
            _plan(work, arguments, renew=True)
    return EXIT_DONE


def _plan(work: DatasetWork, arguments: argparse.Namespace, renew: bool) -> None:
    print_plan(work.plan(resources_of(arguments), arguments.overwrite_target_spacing, renew))


def print_plan(plan: Plan) -> None:
    """Print what was decided, with the reasons."""
    rows = []
    for reason in plan.reasons:
        decision, _, because = reason.partition(": ")
        if " = " not in decision and " = " in because:
            method, (decision, _, because) = decision, because.partition(": ")
            decision = f"{method}: {decision}"
        rows.append({"decision": decision, "because": because})
    print(f"plan for {plan.dataset_name}, default configuration {plan.default_configuration}")
    print(format_table(rows))


def preprocess() -> None:
    """Run brainad_preprocess."""
    parser = _dataset_parser("brainad_preprocess", "Prepare all cases as planned.")
    parser.device_flag()
    add_share_flags(parser)
    add_scheduler_flag(parser)
    run(parser, _preprocess)


def _preprocess(arguments: argparse.Namespace) -> int:
    with _works(arguments) as works:
        return _prepare(works, arguments)


def _prepare(works: Sequence[DatasetWork], arguments: argparse.Namespace) -> int:
    device = str(choose_device(arguments.device))
    failed = [_report(work, work.preprocess(device, share_of(arguments))) for work in works]
    return EXIT_CASES_FAILED if any(failed) else EXIT_DONE


def _report(work: DatasetWork, outcomes: Sequence[Outcome]) -> bool:
    """Print the count and tell whether there are failed cases."""
    failed = sum(outcome.failure is not None for outcome in outcomes)
    if failed:
        _log.warning("%d cases failed, see %s", failed, work.derived / FAILURES_FILE)
    print(f"{work.raw.name}: {len(outcomes) - failed} of {len(outcomes)} cases prepared")
    return bool(failed)


def plan_and_preprocess() -> None:
    """Run brainad_plan_and_preprocess."""
    parser = _planning_parser(
        "brainad_plan_and_preprocess", "Check, measure, plan and prepare a raw dataset."
    )
    add_share_flags(parser)
    add_scheduler_flag(parser)
    parser.flag("--no_pp", action="store_true", help="stop after planning")
    parser.flag("--clean", action="store_true", help="start from scratch")
    parser.flag("--verify_dataset_integrity", action="store_true",
                help="accepted; the check is always made")  # fmt: skip
    run(parser, _plan_and_preprocess)


def _plan_and_preprocess(arguments: argparse.Namespace) -> int:
    if arguments.clean and share_of(arguments).parts > 1:
        raise UsageError(
            "one part would remove what the others have prepared",
            "--clean with -num_parts",
            "run it once with --clean --no_pp, then the parts without --clean",
        )
    with _works(arguments) as works:
        for work in works:
            if arguments.clean:
                work.clean()
            _plan(work, arguments, renew=False)
        return EXIT_DONE if arguments.no_pp else _prepare(works, arguments)
