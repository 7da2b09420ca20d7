"""brainad_predict: a folder of scans in, anomaly maps, masks and scores out."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

from brainad.cli.arguments import Parser
from brainad.cli.flags import (
    ROLES,
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
from brainad.cli.runner import EXIT_CASES_FAILED, EXIT_DONE, log_to_file, run
from brainad.cli.tables import format_table
from brainad.errors import UsageError
from brainad.inference.outputs import OutputFolder
from brainad.method import Scope
from brainad.pipeline.cases import Share
from brainad.pipeline.dataset import PREPARED_FOLDER
from brainad.pipeline.folder import FolderOptions, ModelChoice
from brainad.pipeline.model import stored_channel_names
from brainad.pipeline.parts import read_parts
from brainad.pipeline.predict import DecisionOptions, RunReport, dry_run, predict_folder
from brainad.pipeline.report import (
    score_table,
    write_companions,
    write_html_report,
    write_run_report,
)
from brainad.pipeline.sources import model_from_folder, model_of_dataset, model_planned_here
from brainad.pipeline.trained import dataset_channels, dataset_name
from brainad.plan import Resources

_log = logging.getLogger(__name__)
_SHOWN = 30


def main() -> None:
    """Run brainad_predict."""
    parser = Parser(
        "brainad_predict",
        "Find anomalies in a folder of scans. With no model, the scans are compared with each "
        "other (training-free).",
    )
    parser.flag("-i", required=True, metavar="FOLDER", help="folder with the scans")
    parser.flag("-o", required=True, metavar="FOLDER", help="output folder")
    parser.flag("-d", "--dataset", metavar="DATASET", help="use the plan of this dataset")
    parser.flag("-c", "--configuration", metavar="METHOD", help="configuration (a method)")
    parser.flag("-f", metavar="FOLD", help="fold of a trained model (default: all, else the first)")
    parser.flag("-m", "-bank", metavar="FOLDER_OR_ZIP", dest="bank",
                help="score with this bank or trained model; each scan alone")  # fmt: skip
    parser.flag("-calibration", metavar="FILE", help="thresholds written by brainad_calibrate")
    parser.flag("-min_size_mm3", type=float, default=0.0, help="drop smaller components")
    parser.flag("--channel_map", metavar="FLAIR=_0000,...", help="channel to file name ending")
    add_process_flag(parser)
    add_share_flags(parser)
    add_scheduler_flag(parser)
    add_budget_flag(parser)
    parser.device_flag()
    parser.flag("--overwrite", action="store_true", help="redo finished cases")
    parser.flag("--continue_prediction", action="store_true",
                help="accepted; runs always continue")  # fmt: skip
    parser.flag("--fail_fast", action="store_true",
                help="stop at the first failed case; all are checked before that")  # fmt: skip
    parser.flag("--dry_run", action="store_true", help="only say what would be done")
    parser.flag("--no_report", action="store_true", help="write no report.html")
    parser.workspace_flags(*ROLES)
    run(parser, _predict)


def _predict(arguments: argparse.Namespace) -> int:
    source, target = Path(arguments.i).absolute(), Path(arguments.o).absolute()
    channel_map = _channel_map(arguments.channel_map)
    _require_one_model(arguments)
    numbers = _channel_names(arguments)
    if arguments.dry_run:
        print(format_table(dry_run(source, target, channel_map, numbers)))
        return EXIT_DONE
    share = share_of(arguments)
    log_to_file(target / ".brainad" / f"log_part{share.part:03d}.txt")
    resources = resources_of(arguments)
    choose, prepared = _model_source(arguments, resources)
    decisions = DecisionOptions(
        Path(arguments.calibration) if arguments.calibration else None, arguments.min_size_mm3
    )
    watch = make_watch(arguments.disable_progress_bar, arguments.quiet)
    with executor_of(arguments) as executor:
        options = FolderOptions(
            share=share,
            overwrite=arguments.overwrite,
            executor=executor,
            device=resources.device,
            channel_map=channel_map,
            channel_names=numbers,
            prepared=prepared,
            fail_fast=arguments.fail_fast,
        )
        report = predict_folder(source, target, choose, options, decisions, watch)
    part = f"_part{share.part:03d}of{share.parts:03d}" if share.parts > 1 else ""
    code = finish(target, report, vars(arguments), html=not arguments.no_report, part=part)
    if share.parts > 1:
        _tell_about_parts(target, share)
    return code


def _tell_about_parts(target: Path, share: Share) -> None:
    output = OutputFolder(target)
    parts = {part.part: part for part in read_parts(output)}
    own = parts[share.part].own
    done = sum(output.marker(name) is not None for name in own)
    missing = [str(number) for number in range(share.parts) if number not in parts]
    _log.info(
        "part %d of %d: %d of %d done; parts that came to their end: %s; still missing: %s; "
        "brainad_merge_parts -o %s joins the tables",
        share.part,
        share.parts,
        done,
        len(own),
        ", ".join(map(str, sorted(parts))),
        ", ".join(missing) or "none",
        target,
    )


def _model_source(
    arguments: argparse.Namespace, resources: Resources
) -> tuple[ModelChoice, Path | None]:
    """Decide where the model comes from: a folder or zip, a dataset, or the scans themselves."""
    if arguments.bank:
        return model_from_folder(Path(arguments.bank), resources, arguments.f), None
    if arguments.dataset:
        workspace = workspace_of(arguments)
        name = dataset_name(workspace, arguments.dataset)
        derived = workspace.preprocessed / name
        choose = model_of_dataset(
            derived, workspace.results / name, arguments.configuration, arguments.f, resources
        )
        return choose, derived / PREPARED_FOLDER
    if arguments.f is not None:
        raise UsageError("-f chooses a fold of a trained model", "-f", "give -d or -m with it")
    plan = Path(arguments.o).absolute() / "plans.json"
    name = Path(arguments.i).resolve().name
    return model_planned_here(plan, name, arguments.configuration, resources), None


def _require_one_model(arguments: argparse.Namespace) -> None:
    if arguments.bank and (arguments.dataset or arguments.configuration):
        raise UsageError(
            "a bank or model holds its own plan and configuration",
            "-m or -bank with -d or -c",
            "leave them",
        )


def _channel_names(arguments: argparse.Namespace) -> Mapping[int, str]:
    """Find out what file numbers mean where no dataset.json beside the scans says it."""
    if arguments.bank:
        return stored_channel_names(Path(arguments.bank), arguments.f)
    return dataset_channels(workspace_of(arguments), arguments.dataset)


def _channel_map(text: str | None) -> Mapping[str, str]:
    pairs = [pair.partition("=") for pair in (text or "").split(",") if pair]
    if any(not (name and mark and ending) for name, mark, ending in pairs):
        raise UsageError(f"{text!r} is not a channel map", "--channel_map", "FLAIR=_0000,T1=_0001")
    return {name: ending for name, _, ending in pairs}


def finish(
    target: Path, report: RunReport, options: Mapping[str, object], html: bool, part: str
) -> int:
    """Write the reports, print the scores and return the exit code."""
    plain = {name: value for name, value in options.items() if name not in ("i", "o")}
    write_run_report(target, report, plain)
    write_companions(target, report, plain, part)
    if html and report.calibration:
        path = write_html_report(target, report, report.scans)
        _log.info("report: %s", path)
    rows = score_table(report.markers)
    columns = ("case_id", "score", "prediction", "anomalous_volume_mm3", "status")
    print(format_table([{c: row[c] for c in columns} for row in rows[:_SHOWN]]))
    if len(rows) > _SHOWN:
        print(f"... and {len(rows) - _SHOWN} more in {target / 'patient_scores.csv'}")
    if report.pending:
        remedy = (
            "the part that finishes last scores the cohort, or run once more without -num_parts"
        )
        alone = report.model.method.scope is Scope.CASE
        _log.info(
            "%d cases wait for other parts: %s, ...; %s",
            len(report.pending),
            ", ".join(report.pending[:3]),
            "each part delivers its own" if alone else remedy,
        )
    if report.failed:
        _log.warning("%d cases failed, see %s", len(report.failed), target / "failed_cases.csv")
        return EXIT_CASES_FAILED
    return EXIT_DONE
