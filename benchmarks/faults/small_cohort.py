"""A cohort of small, cheap phantom scans and a plan with which a case takes tenths of a second.

One phantom head is made; every case is that head with its own noise, contrast and, for every
fourth, a bright blob. The plan uses the random encoder ``tiny`` and voxels of 4 mm.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from brainad.files import read_json, write_json
from brainad.inference.outputs import OutputFolder
from brainad.input_folder import find_cases
from brainad.nifti import write_volume
from brainad.phantom import PhantomOptions, make_phantom
from brainad.pipeline.cases import Outcome, Share, unwatched
from brainad.pipeline.executors import IN_PROCESS, Executor
from brainad.pipeline.folder import FolderOptions, ModelChoice
from brainad.pipeline.inspect import inspect_cases
from brainad.pipeline.planning import make_plan
from brainad.pipeline.predict import DecisionOptions, RunReport, predict_folder
from brainad.pipeline.sources import model_from_plan
from brainad.plan import Resources, to_table
from brainad.planning.planner import PlanningOptions
from brainad.volume import Volume

RESOURCES = Resources("cpu", 4.0, 1, Path("/nonexistent"), (), seconds_per_case=60.0)
_OPTIONS = PhantomOptions(channels=("T2",), spacing_mm=(5.0, 5.0, 5.0), random_pose=False)
_MEASURED = 3


@dataclass(frozen=True)
class SmallCohort:
    """Scans and a plan in one folder.

    Args:
        home: folder of everything.
    """

    home: Path

    @property
    def scans(self) -> Path:
        """Where the scans are."""
        return self.home / "scans"

    @property
    def plan(self) -> Path:
        """Where the plan is."""
        return self.home / "plan.json"

    @property
    def choose_model(self) -> ModelChoice:
        """Use the plan."""
        return model_from_plan(self.plan, "codegraph3d", RESOURCES)


def write_small_cohort(home: Path, cases: int, block_size: int = 8) -> SmallCohort:
    """Write the scans and the plan; the same number of cases always gives the same voxels.

    Args:
        home: folder to write.
        cases: number of scans.
        block_size: cases per block of the comparison.
    """
    cohort = SmallCohort(home)
    write_json(
        home / "dataset.json",
        {"channel_names": {"0": "T2"}, "labels": {"background": 0}, "file_ending": ".nii.gz"},
    )
    for number, volume in enumerate(scans(cases)):
        write_volume(cohort.scans / f"case{number:04d}_0000.nii.gz", volume)
    found = find_cases(cohort.scans).cases[:_MEASURED]
    measured = inspect_cases(found, home / "measured")
    options = PlanningOptions(spacing_mm=4.0)
    plan = make_plan("small", measured.fingerprint, RESOURCES, options)
    settings = {
        **plan.configurations["codegraph3d"],
        "encoder": "tiny",
        "layers": [1, 3],
        "cell": 14,
        "slices_per_block": 1,
        "projected_width": 16,
        "block_size": block_size,
    }
    plan = replace(
        plan,
        preprocessing=replace(plan.preprocessing, registration="none", bias_field=False),
        configurations={"codegraph3d": settings},
    )
    write_json(cohort.plan, to_table(plan))
    return cohort


def scans(cases: int) -> Iterator[Volume]:
    """Yield variations of one head, float32, 0 outside."""
    head = make_phantom(_OPTIONS, seed=0).images["T2"]
    inside = np.argwhere(head.data > 0)
    grid = np.indices(head.data.shape)
    for number in range(cases):
        rng = np.random.default_rng(number)
        noise = rng.normal(1, 0.03, head.data.shape)
        data = head.data * noise * rng.uniform(0.8, 1.2)
        if number % 4 == 3:
            centre = inside[rng.integers(len(inside))]
            blob = ((grid - centre[:, None, None, None]) ** 2).sum(0) < 16
            data[blob & (head.data > 0)] *= 1.8
        yield Volume(np.where(head.data > 0, np.maximum(data, 1), 0).astype(np.float32), head.grid)


def predict(
    cohort: SmallCohort,
    target: Path,
    share: Share | None = None,
    executor: Executor = IN_PROCESS,
    choose: ModelChoice | None = None,
) -> RunReport:
    """Predict the scans, as brainad_predict does."""
    return predict_folder(
        cohort.scans,
        target,
        choose or cohort.choose_model,
        FolderOptions(share=share or Share(), executor=executor),
        DecisionOptions(),
        unwatched,
    )


def delivered(target: Path) -> dict[str, bytes]:
    """Read everything a user gets, without the measured seconds, by relative path."""
    found = {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*.nii.gz")}
    output = OutputFolder(target)
    for path in sorted((output.internal / "cases").glob("*.json")):
        table = read_json(path)
        table["row"].pop("runtime_s", None)
        found[path.name] = repr(table).encode()
    for name in ("slice_scores.csv", "failed_cases.csv"):
        if (target / name).is_file():
            found[name] = (target / name).read_bytes()
    lines = (target / "patient_scores.csv").read_text().splitlines()
    column = lines[0].split(",").index("runtime_s")
    table_rows = ["|".join(_without(line.split(","), column)) for line in lines]
    found["patient_scores.csv"] = "\n".join(table_rows).encode()
    return found


def _without(cells: list[str], column: int) -> list[str]:
    return cells[:column] + cells[column + 1 :]


def stopwatch(outcomes: Iterable[Outcome]) -> tuple[list[Outcome], float]:
    """Exhaust outcomes and return them with the seconds it took."""
    started = time.perf_counter()
    return list(outcomes), time.perf_counter() - started
