"""A raw dataset → fingerprint, plan and prepared cases in the preprocessed folder."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from brainad.arrays import ArrayFolder
from brainad.dataset import Dataset, read_dataset
from brainad.errors import DataError
from brainad.files import write_json
from brainad.pipeline.cases import Failure, Outcome, Share, Watch, unwatched
from brainad.pipeline.executors import IN_PROCESS, Executor
from brainad.pipeline.failed_cases import FailedCases
from brainad.pipeline.folder import tidy
from brainad.pipeline.inspect import (
    Inspection,
    inspect_cases,
    log_contradictions,
    log_problems,
)
from brainad.pipeline.planning import keep_or_make_plan, read_plan
from brainad.pipeline.prepare import Preparer, planned_case
from brainad.pipeline.truth import TruthKeeper
from brainad.plan import Fingerprint, Plan, Resources, to_table
from brainad.planning.planner import PlanningOptions
from brainad.prepared import PreparedFolder
from brainad.preprocessing.cohort import check_disk, check_split
from brainad.preprocessing.labels import Expectations
from brainad.preprocessing.problem import Problem
from brainad.truth import PreparedTruthFolder

_log = logging.getLogger(__name__)

FINGERPRINT_FILE = "dataset_fingerprint.json"
PLAN_FILE = "brainadPlans.json"
PREPARED_FOLDER = "prepared"
TRUTH_FOLDER = "truth"


# The planned working grid has 5.5 million voxels: an image in float16 and the brain mask, with
# room for finer grids.
_BYTES_PER_CHANNEL = 20e6


@dataclass(frozen=True)
class DatasetWork:
    """A raw dataset and the folder for what is derived from it.

    Args:
        raw: dataset folder, only read.
        derived: folder in the preprocessed root.
        watch: shows progress.
        executor: where the work is done.
    """

    raw: Path
    derived: Path
    watch: Watch = unwatched
    executor: Executor = IN_PROCESS

    def inspect(self) -> tuple[Dataset, Inspection]:
        """Check and measure all cases and write the fingerprint if any case is usable."""
        tidy(self.derived)
        dataset = read_dataset(self.raw)
        for warning in dataset.warnings:
            _log.warning(warning)
        log_contradictions(dataset.failures)
        inspection = inspect_cases(
            dataset.cases,
            self.derived / "checked",
            expectations_of(dataset),
            self.watch,
            self.executor,
        )
        if inspection.measured:
            write_json(self.derived / FINGERPRINT_FILE, to_table(inspection.fingerprint))
        return dataset, inspection

    def fingerprint(self) -> Fingerprint:
        """Measure the dataset.

        Raises:
            UsageError: no case is usable.
        """
        return self.inspect()[1].fingerprint

    def plan(self, resources: Resources, spacing_mm: float | None, renew: bool = False) -> Plan:
        """Keep a plan that fits the data, edited by hand or not; else make one.

        Args:
            resources: what the machine offers.
            spacing_mm: voxel edge of the working grid, None to have it chosen.
            renew: make a new plan in any case.
        """
        dataset, inspection = self.inspect()
        log_problems(inspection.problems)
        path = self.derived / PLAN_FILE
        if renew:
            path.unlink(missing_ok=True)
        declared = dataset.description.options
        options = PlanningOptions(declared.skull_stripped, declared.axis, spacing_mm)
        return keep_or_make_plan(path, self.raw.name, inspection.fingerprint, resources, options)

    def preprocess(self, device: str, share: Share) -> list[Outcome]:
        """Prepare all planned channels of the cases of a share; one outcome per case.

        The share is taken from all names, usable or not, so that no case changes hands when it
        becomes usable. Afterwards failed_cases.csv tells of the failures of all parts.

        Raises:
            UsageError: there is no plan yet.
        """
        plan = read_plan(self.derived / PLAN_FILE).preprocessing
        dataset, inspection = self.inspect()
        failures = {name: Failure.of("find", error) for name, error in dataset.failures.items()}
        failures.update(inspection.failures)
        names = sorted({case.case_id for case in dataset.cases} | set(failures))
        share.log_if_idle(names)
        own = set(share.of(names))
        mine = []
        for case in dataset.cases:
            if case.case_id not in own:
                continue
            finding = inspection.findings.get(case.case_id)
            if finding is None or finding.measured is None or case.case_id in failures:
                continue
            try:
                mine.append(planned_case(case, finding.measured.channels, plan))
            except DataError as error:
                failures[case.case_id] = Failure.of("check", error)
        preparer = Preparer(
            plan,
            PreparedFolder(self.derived / PREPARED_FOLDER),
            plan.channels,
            device,
            {each.case_id: each.skull_stripped for each in inspection.measured},
        )
        outcomes = preparer.prepare(mine, self.executor)
        done = list(self.watch("prepare", len(mine), outcomes))
        broken = {outcome.case_id for outcome in done if outcome.failure}
        keeper = TruthKeeper(
            preparer.prepared,
            PreparedTruthFolder(ArrayFolder(self.derived / TRUTH_FOLDER)),
            expectations_of(dataset),
            plan.slice_axis,
        )
        whole = [case for case in mine if case.case_id not in broken]
        truths = {each.case_id: each for each in keeper.keep(whole) if each.failure}
        done = [truths.get(outcome.case_id, outcome) for outcome in done]
        unusable = [Outcome(name, 0.0, why) for name, why in failures.items() if name in own]
        failed = FailedCases(self.derived)
        failed.settle([*unusable, *done])
        failed.write_table(names)
        return [*unusable, *done]

    def clean(self) -> None:
        """Remove everything derived from the dataset; the raw data stay."""
        shutil.rmtree(self.derived, ignore_errors=True)


def expectations_of(dataset: Dataset) -> Expectations:
    """Return what dataset.json declares about the cases."""
    description = dataset.description
    return Expectations(
        channels=tuple(description.channel_names.values()),
        required_channels=dataset.required_channels,
        label_values=description.label_values,
        anomaly_labels=description.anomaly_labels,
    )


def verify_dataset(dataset: Dataset, inspection: Inspection, derived: Path) -> list[Problem]:
    """List everything that is wrong or odd, in files, cases, the split and the disk."""
    clashes = [
        Problem("error", name, "files", error.what, error.fix)
        for name, error in dataset.failures.items()
    ]
    channels = sum(len(case.images) for case in dataset.cases)
    existing = next(path for path in (derived, *derived.parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    odd = [Problem("warning", "", "dataset", text, "") for text in dataset.warnings]
    return [
        *clashes,
        *odd,
        *check_split(dataset.patients, dataset.test_case_ids),
        *check_disk(channels * _BYTES_PER_CHANNEL, free, existing),
        *inspection.problems,
    ]
