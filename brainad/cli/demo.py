"""brainad_demo: the main job on a phantom cohort, from nothing to pictures."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from brainad.cli.arguments import Parser
from brainad.cli.dataset import print_plan
from brainad.cli.evaluate import print_summary
from brainad.cli.progress import make_watch
from brainad.cli.runner import EXIT_CASES_FAILED, EXIT_DONE, run
from brainad.cli.tables import format_table
from brainad.cli.weights import DEFAULT_WEIGHTS
from brainad.encoders.weights import available, fetch_weights
from brainad.files import write_bytes
from brainad.inference.outputs import OutputFolder
from brainad.phantom import PhantomOptions
from brainad.pipeline.cases import Share
from brainad.pipeline.dataset import PLAN_FILE, PREPARED_FOLDER, DatasetWork
from brainad.pipeline.evaluate import evaluate_folder, find_truth
from brainad.pipeline.executors import Processes
from brainad.pipeline.folder import FolderOptions
from brainad.pipeline.phantoms import Cohort, write_cohort
from brainad.pipeline.predict import DecisionOptions, predict_folder
from brainad.pipeline.report import (
    case_picture,
    score_table,
    write_html_report,
    write_run_report,
)
from brainad.pipeline.resources import measure_resources, process_count
from brainad.pipeline.sources import model_from_plan
from brainad.reporting.figures import cohort_figure
from brainad.workspace import find_workspace

_log = logging.getLogger(__name__)

DATASET = "Dataset501_Phantoms"
_HEALTHY, _UNHEALTHY = 5, 3
# Eight heads must be through in minutes on two cores.
_SECONDS_PER_CASE = 15.0
_PICTURED = 4


def main() -> None:
    """Run brainad_demo."""
    parser = Parser(
        "brainad_demo",
        "Make eight synthetic heads (phantoms), three with a lesion, find the lesions without "
        "training, and show the result. Run it again: it continues where it stopped.",
    )
    parser.flag("-o", default="brainad_demo", metavar="FOLDER", help="working folder")
    parser.flag("-lesion", default="glioma", choices=("glioma", "metastases", "stroke"))
    parser.flag("-spacing_mm", type=float, default=1.0, help="voxel edge (default 1)")
    parser.flag("-seed", type=int, default=1, help="of the phantoms (default 1)")
    parser.device_flag()
    run(parser, _demo)


def _demo(arguments: argparse.Namespace) -> int:
    home = Path(arguments.o).absolute()
    workspace = find_workspace(
        {role: str(home / role) for role in ("raw", "preprocessed", "results")}
    )
    watch = make_watch(arguments.disable_progress_bar, arguments.quiet)
    if DEFAULT_WEIGHTS not in available(workspace.weights):
        _log.info("fetching the weights of %s into %s", DEFAULT_WEIGHTS, workspace.weights)
        fetch_weights(DEFAULT_WEIGHTS, workspace.weights)
    resources = measure_resources(workspace.weights, arguments.device, _SECONDS_PER_CASE)
    spacing = (arguments.spacing_mm,) * 3
    options = PhantomOptions(channels=("T2",), lesion=arguments.lesion, spacing_mm=spacing)
    raw = workspace.raw / DATASET
    executor = Processes(process_count())
    cohort = Cohort(raw, options, _HEALTHY, _UNHEALTHY, arguments.seed)
    write_cohort(cohort, watch, executor)

    work = DatasetWork(raw, workspace.preprocessed_folder(raw), watch, executor)
    print_plan(work.plan(resources, None))
    work.preprocess(resources.device, Share())

    target = home / "predictions"
    choose = model_from_plan(work.derived / PLAN_FILE, "codegraph3d", resources)
    folder_options = FolderOptions(device=resources.device, prepared=work.derived / PREPARED_FOLDER)
    report = predict_folder(
        raw / "imagesTr", target, choose, folder_options, DecisionOptions(), watch
    )
    truth = find_truth(raw)
    summary = evaluate_folder(truth, target, watch)
    write_run_report(target, report, {})
    page = write_html_report(target, report, report.scans, truth.masks, summary)

    rows = score_table(report.markers)
    truths = {name: {"truth": label} for name, label in truth.labels.items()}
    columns = ("case_id", "score", "prediction", "anomalous_volume_mm3", "status")
    print("\npatient scores (phantom data)")
    print(
        format_table([{**{c: row[c] for c in columns}, **truths[row["case_id"]]} for row in rows])
    )
    print("\nmetrics (phantom data)")
    print_summary(summary)
    shown = [row["case_id"] for row in rows[:_PICTURED]]
    picture = target / "overview.png"
    output = OutputFolder(target)
    scenes = [case_picture(output, name, report.scans[name], truth.masks) for name in shown]
    write_bytes(picture, cohort_figure(scenes))
    print(f"\npicture  {picture}\nreport   {page}")
    return EXIT_CASES_FAILED if report.failed else EXIT_DONE
