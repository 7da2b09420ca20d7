"""Flags that several commands share, and what they mean."""

from __future__ import annotations

import argparse
import logging
from contextlib import AbstractContextManager

from brainad.cli.arguments import Parser, count
from brainad.errors import UsageError
from brainad.pipeline.cases import Share
from brainad.pipeline.executors import Executor, open_executor
from brainad.pipeline.resources import SECONDS_PER_CASE, measure_resources, process_count
from brainad.plan import Resources
from brainad.workspace import Workspace, find_workspace, shard_from_environment

_log = logging.getLogger(__name__)

DATASET_ROLES = ("raw", "preprocessed", "results")
ROLES = (*DATASET_ROLES, "weights")


def workspace_of(arguments: argparse.Namespace) -> Workspace:
    """Locate the root folders that the flags and the environment name."""
    return find_workspace({role: getattr(arguments, role, None) for role in ROLES})


def resources_of(arguments: argparse.Namespace) -> Resources:
    """Measure the machine with the device and time budget of the flags."""
    weights = workspace_of(arguments).weights
    return measure_resources(weights, arguments.device, arguments.seconds_per_case)


def share_of(arguments: argparse.Namespace) -> Share:
    """Return the part of the case list to work on: from the flags, else from a SLURM array."""
    if arguments.num_parts is not None or arguments.part_id is not None:
        parts = 1 if arguments.num_parts is None else arguments.num_parts
        return Share(parts, arguments.part_id or 0)
    array = shard_from_environment()
    if array is None:
        return Share()
    _log.info("part %d of %d, from the SLURM array job", array[1], array[0])
    return Share(*array)


def add_share_flags(parser: Parser) -> None:
    """Add the flags that spread cases over machines."""
    parser.flag("-num_parts", type=count, help="spread the cases over this many runs (default 1)")
    parser.flag("-part_id", type=count, help="which of them this is, from 0")


def add_budget_flag(parser: Parser) -> None:
    """Add the time budget that the planner picks the encoder's work from."""
    parser.flag(
        "-seconds_per_case",
        type=float,
        default=SECONDS_PER_CASE,
        help=f"encoding time that the plan may spend on a case (default {SECONDS_PER_CASE:.0f})",
    )


def add_process_flag(parser: Parser) -> None:
    """Add the number of worker processes."""
    parser.flag(
        "-np", "-npp", dest="np", type=count, help="worker processes (default: by cores and memory)"
    )


def add_rate_flag(parser: Parser) -> None:
    """Add the false positive rate that thresholds are chosen for."""
    parser.flag("-fpr", type=float, default=0.05,
                help="share of healthy people that may be flagged (default 0.05)")  # fmt: skip


def rate_of(arguments: argparse.Namespace) -> float:
    """Return the false positive rate.

    Raises:
        UsageError: it is not between 0 and 1.
    """
    rate: float = arguments.fpr
    if not 0 < rate < 1:
        raise UsageError(f"-fpr is {rate}", "-fpr", "choose a rate between 0 and 1")
    return rate


def add_scheduler_flag(parser: Parser) -> None:
    """Add the Dask cluster that the work is spread over."""
    parser.flag(
        "-scheduler",
        metavar="ADDRESS",
        help="spread the work over this Dask cluster: tcp://host:port, or a scheduler file",
    )


def executor_of(arguments: argparse.Namespace) -> AbstractContextManager[Executor]:
    """Open where work is done: a cluster, or as many processes as asked for or as fit here."""
    count = max(1, arguments.np) if arguments.np is not None else process_count()
    return open_executor(count, getattr(arguments, "scheduler", None))
