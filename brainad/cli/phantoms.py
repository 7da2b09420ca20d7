"""brainad_make_phantoms: a synthetic cohort with exact truth, as a raw dataset."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from brainad.cli.arguments import Parser, count
from brainad.cli.flags import add_process_flag, executor_of
from brainad.cli.progress import make_watch
from brainad.cli.runner import EXIT_CASES_FAILED, EXIT_DONE, run
from brainad.phantom import LesionKind, PhantomOptions
from brainad.pipeline.phantoms import Cohort, write_cohort


def main() -> None:
    """Run brainad_make_phantoms."""
    parser = Parser(
        "brainad_make_phantoms",
        "Make synthetic brain scans from the MNI152 template, some with lesions. They are for "
        "trying things out and say nothing about patients.",
    )
    parser.flag("-o", required=True, metavar="FOLDER", help="dataset folder, DatasetXXX_Name")
    parser.flag("-healthy", type=count, default=16, help="phantoms without lesion (default 16)")
    parser.flag("-unhealthy", type=count, default=8, help="phantoms with lesion (default 8)")
    parser.flag("-lesion", choices=get_args(LesionKind), default="glioma", help="kind of lesion")
    parser.flag("-radius_mm", type=float, nargs=2, metavar=("FROM", "TO"), help="lesion radius")
    parser.flag("-channels", nargs="+", default=["T2"], help="T1, T1CE, T2, FLAIR (default T2)")
    parser.flag("-spacing_mm", type=float, nargs=3, default=[1.0, 1.0, 1.0], metavar="MM",
                help="voxel edges (default 1 1 1)")  # fmt: skip
    parser.flag("-oblique_degrees", type=float, default=0.0, help="largest tilt of the grid")
    parser.flag("--random_orientation", action="store_true", help="flip and swap the axes")
    parser.flag("-head", metavar="FILE", help="T1 head with skull in MNI space: adds a skull")
    parser.flag("-seed", type=count, default=0, help="of the cohort (default 0)")
    add_process_flag(parser)
    run(parser, _make)


def _make(arguments: argparse.Namespace) -> int:
    x, y, z = arguments.spacing_mm
    options = PhantomOptions(
        channels=tuple(arguments.channels),
        lesion=arguments.lesion,
        lesion_radius_mm=tuple(arguments.radius_mm) if arguments.radius_mm else None,
        spacing_mm=(x, y, z),
        oblique_degrees=arguments.oblique_degrees,
        random_orientation=arguments.random_orientation,
        head=Path(arguments.head) if arguments.head else None,
    )
    cohort = Cohort(
        Path(arguments.o), options, arguments.healthy, arguments.unhealthy, arguments.seed
    )
    watch = make_watch(arguments.disable_progress_bar, arguments.quiet)
    with executor_of(arguments) as executor:
        outcomes = write_cohort(cohort, watch, executor)
    failed = [outcome for outcome in outcomes if outcome.failure]
    print(f"{len(outcomes) - len(failed)} phantoms in {arguments.o}")
    return EXIT_CASES_FAILED if failed else EXIT_DONE
