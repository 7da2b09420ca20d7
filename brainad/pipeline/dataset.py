"""A raw dataset → fingerprint, plan and prepared cases in the preprocessed folder."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainad.dataset import Dataset, read_dataset
from brainad.files import write_json
from brainad.pipeline.cases import Failure, Outcome, Share, Watch, unwatched
from brainad.pipeline.executors import IN_PROCESS, Executor
from brainad.pipeline.folder import tidy
from brainad.pipeline.inspect import Inspection, inspect_cases
from brainad.pipeline.planning import keep_or_make_plan, read_plan
from brainad.pipeline.prepare import Preparer, planned_case
from brainad.plan import Fingerprint, Plan, Resources, to_table
from brainad.planning.planner import PlanningOptions
from brainad.prepared import PreparedFolder
from brainad.preprocessing.cohort import check_disk, check_split
from brainad.preprocessing.labels import Expectations
from brainad.preprocessing.problem import Problem

_log = logging.getLogger(__name__)

FINGERPRINT_FILE = "dataset_fingerprint.json"
PLAN_FILE = "brainadPlans.json"
PREPARED_FOLDER = "prepared"
FAILURES_FILE = "failed_cases.csv"


# A working grid of about 14 million voxels in float16, its brain mask and the findings.
_BYTES_PER_CHANNEL = 45e6


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
        path = self.derived / PLAN_FILE
        if renew:
            path.unlink(missing_ok=True)
        declared = dataset.description.options
        options = PlanningOptions(declared.skull_stripped, declared.axis, spacing_mm)
        return keep_or_make_plan(path, self.raw.name, inspection.fingerprint, resources, options)

    def preprocess(self, device: str, share: Share) -> list[Outcome]:
        """Prepare all planned channels of all usable cases; one outcome per case.

        Raises:
            UsageError: there is no plan yet.
        """
        plan = read_plan(self.derived / PLAN_FILE).preprocessing
        dataset, inspection = self.inspect()
        cases = []
        for case in dataset.cases:
            finding = inspection.findings.get(case.case_id)
            if finding and finding.measured and case.case_id not in inspection.failures:
                cases.append(planned_case(case, finding.measured.channels, plan))
        preparer = Preparer(
            plan,
            PreparedFolder(self.derived / PREPARED_FOLDER),
            plan.channels,
            device,
            {each.case_id: each.skull_stripped for each in inspection.measured},
        )
        mine = share.of(cases)
        outcomes = preparer.prepare(mine, self.executor)
        done = list(self.watch("prepare", len(mine), outcomes))
        failed = [Outcome(name, 0.0, why) for name, why in self._failures(dataset, inspection)]
        return [*failed, *done]

    @staticmethod
    def _failures(dataset: Dataset, inspection: Inspection) -> Sequence[tuple[str, Failure]]:
        found = [
            (name, Failure("find", "DataError", error.what, error.where, error.fix))
            for name, error in dataset.failures.items()
        ]
        return [*found, *inspection.failures.items()]

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
    return [
        *clashes,
        *check_split(dataset.patients, dataset.test_case_ids),
        *check_disk(channels * _BYTES_PER_CHANNEL, free, existing),
        *inspection.problems,
    ]
