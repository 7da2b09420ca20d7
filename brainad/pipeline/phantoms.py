"""Write a cohort of phantoms as a raw dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

from brainad.errors import UsageError
from brainad.files import read_json, write_csv, write_json
from brainad.nifti import write_volume
from brainad.phantom import PhantomOptions, make_phantom
from brainad.pipeline.cases import Outcome, Watch, run_cases, unwatched
from brainad.pipeline.executors import IN_PROCESS, Executor
from brainad.plan import to_table

# Seeds of one cohort are consecutive; cohorts whose seeds differ by less would share phantoms.
_SEEDS_PER_COHORT = 10_000
_COHORT_FILE = "phantoms.json"


@dataclass(frozen=True)
class Cohort:
    """A dataset of phantoms.

    Args:
        folder: raw dataset folder, named ``DatasetXXX_Name``.
        options: of every phantom; healthy ones get no lesion.
        healthy: number of phantoms without lesion.
        unhealthy: number of phantoms with a lesion.
        seed: of the cohort.
    """

    folder: Path
    options: PhantomOptions
    healthy: int
    unhealthy: int
    seed: int

    def case_ids(self) -> list[str]:
        """Name the cases; the names do not tell who is healthy."""
        return [f"phantom_{index:03d}" for index in range(self.healthy + self.unhealthy)]

    def is_healthy(self, index: int) -> bool:
        """Spread the unhealthy cases evenly over the list."""
        total = self.healthy + self.unhealthy
        return (index + 1) * self.unhealthy // total == index * self.unhealthy // total


def write_cohort(
    cohort: Cohort, watch: Watch = unwatched, executor: Executor = IN_PROCESS
) -> Sequence[Outcome]:
    """Write images, lesion masks, cases.csv and dataset.json; existing files are kept.

    Raises:
        UsageError: the folder holds another cohort, or no phantom is asked for.
    """
    if cohort.healthy + cohort.unhealthy < 1 or (cohort.unhealthy and not cohort.options.lesion):
        raise UsageError(
            f"{cohort.healthy} healthy and {cohort.unhealthy} unhealthy phantoms with lesion "
            f"{cohort.options.lesion}",
            "brainad_make_phantoms",
            "ask for at least one phantom, and name a lesion for unhealthy ones",
        )
    _claim(cohort)
    names = cohort.case_ids()
    kept = [name for name in names if all(path.is_file() for path in _images(cohort, name))]
    todo = [(name, (index, name)) for index, name in enumerate(names) if name not in kept]
    written = run_cases("phantom", todo, partial(_write, cohort), executor)
    done = list(watch("phantom", len(names), chain(map(Outcome, kept), written)))
    _write_tables(cohort)
    return done


def _claim(cohort: Cohort) -> None:
    """Note what the folder is for before the first image is written."""
    path = cohort.folder / _COHORT_FILE
    table = to_table(cohort.options) | {
        "healthy": cohort.healthy,
        "unhealthy": cohort.unhealthy,
        "seed": cohort.seed,
    }
    if path.is_file() and read_json(path) != table:
        raise UsageError(
            "the folder holds phantoms that were made with other options",
            str(cohort.folder),
            f"choose another folder, or remove this one; its options are in {_COHORT_FILE}",
        )
    write_json(path, table)


def _images(cohort: Cohort, name: str) -> list[Path]:
    return [
        cohort.folder / "imagesTr" / f"{name}_{number:04d}.nii.gz"
        for number in range(len(cohort.options.channels))
    ]


def _write(cohort: Cohort, item: tuple[int, str]) -> None:
    index, name = item
    healthy = cohort.is_healthy(index)
    lesion = cohort.folder / "labelsTr" / f"{name}.nii.gz"
    options = replace(cohort.options, lesion=None) if healthy else cohort.options
    phantom = make_phantom(options, cohort.seed * _SEEDS_PER_COHORT + index)
    if not healthy:
        write_volume(lesion, phantom.lesion)
    for path, channel in zip(_images(cohort, name), cohort.options.channels, strict=True):
        write_volume(path, phantom.images[channel])


def _write_tables(cohort: Cohort) -> None:
    write_csv(
        cohort.folder / "cases.csv",
        ("case_id", "label", "subset", "patient_id"),
        [
            {
                "case_id": name,
                "label": "healthy" if cohort.is_healthy(index) else "unhealthy",
                "patient_id": name,
            }
            for index, name in enumerate(cohort.case_ids())
        ],
    )
    # Last, because a folder without it is not a dataset: an interrupted cohort cannot be used.
    write_json(
        cohort.folder / "dataset.json",
        {
            "channel_names": {str(i): c for i, c in enumerate(cohort.options.channels)},
            "labels": {"background": 0, "lesion": 1},
            "numTraining": cohort.healthy + cohort.unhealthy,
            "file_ending": ".nii.gz",
            "name": cohort.folder.name,
            "description": (
                f"Synthetic phantoms, seed {cohort.seed}, lesion {cohort.options.lesion}; "
                "not patient data"
            ),
            "brainad": {"format_version": 1},
        },
    )
