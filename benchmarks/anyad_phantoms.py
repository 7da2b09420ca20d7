"""Benchmark C: anyad on phantoms with every set of channels, and what its parts buy.

40 subjects with T1, T2 and FLAIR: 20 healthy ones to train on, 20 others to test on, 10 of them
with a glioma-like lesion of 6 to 20 mm radius. Every row of the ablation is trained anew on the
same kept features. Slices are those of the planned raster on the working grid; a slice is
anomalous if its lesion mask has a voxel, and slices that a lesion touches by less than a voxel
are left out. Voxel metrics pool whole slices, background included, as the paper does. Phantoms
share one anatomy and are not patients: the figures compare settings, they do not predict clinical
performance.

    python benchmarks/anyad_phantoms.py -o anyad_benchmark

An interrupted run continues; finished rows are kept in rows/NAME.json.
"""

from __future__ import annotations

import argparse
import csv
import logging
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from brainad import model_folder
from brainad.arrays import ArrayFolder
from brainad.cli.tables import format_table
from brainad.encoders.slicing import filled_slices
from brainad.evaluation import metrics
from brainad.evaluation.voxel_curves import VoxelCurves
from brainad.files import read_json, value_hash, write_csv, write_json
from brainad.methods.anyad import SPEC
from brainad.methods.anyad.method import AnyAD
from brainad.methods.anyad.plan import AnyADPlan
from brainad.methods.anyad.subsets import all_subsets, subset_name
from brainad.model_folder import StoredModel
from brainad.phantom import PhantomOptions
from brainad.pipeline.cases import Share
from brainad.pipeline.dataset import PREPARED_FOLDER, TRUTH_FOLDER, DatasetWork
from brainad.pipeline.executors import Processes
from brainad.pipeline.phantoms import Cohort, write_cohort
from brainad.pipeline.resources import measure_resources
from brainad.plan import Plan, Resources, from_table
from brainad.prediction import Prediction
from brainad.prepared import PreparedFolder
from brainad.training.session import FolderSession
from brainad.training.supervision import TrainingCases
from brainad.truth import ANOMALOUS, UNKNOWN, PreparedTruth, PreparedTruthFolder
from brainad.workspace import find_workspace

_log = logging.getLogger("benchmark")

SEED = 301
CHANNELS = ("T1", "T2", "FLAIR")
# In-plane neighbours touch at corners, slices do not: a region is a region of one slice.
_REGIONS_OF_SLICES = np.zeros((3, 3, 3), dtype=bool)

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "no_alignment": {"alignment": "none"},
    "no_channel_dropout": {"channel_dropout": False},
    "monitor": {"alignment": "monitor"},
    "moment": {"alignment": "moment"},
    "rgb_slots": {"layout": "rgb_slots"},
    "distance_alone": {"expected_by": "nothing"},
    "reconstruction_alone": {"place_distance": False},
    "by_height": {"expected_by": "height"},
    "all_tokens": {"tokens_per_slice": 0},
}
ISSUE_ROWS = ("default", "no_alignment", "no_channel_dropout")


class Bench:
    """The cohort, prepared, and where everything is kept.

    Args:
        home: working folder.
        healthy_train, healthy_test, ill: subjects.
        spacing_mm: of the working grid, None for the planned one.
    """

    def __init__(
        self, home: Path, train: int, healthy_test: int, ill: int, spacing_mm: float | None
    ) -> None:
        self.home = home
        self.raw = home / f"Dataset{SEED}_PhantomsC"
        cohort = Cohort(
            self.raw,
            PhantomOptions(channels=CHANNELS, lesion="glioma"),
            train + healthy_test,
            ill,
            SEED,
        )
        self.seconds: dict[str, float] = {}
        with self.timed("phantoms"):
            write_cohort(cohort, executor=Processes(2))
        healthy = [n for i, n in enumerate(cohort.case_ids()) if cohort.is_healthy(i)]
        self.train = healthy[:train]
        self.test = [name for name in cohort.case_ids() if name not in set(self.train)]
        _mark_test_set(self.raw / "cases.csv", set(self.test))
        self.resources: Resources = measure_resources(find_workspace({}).weights, "cpu")
        work = DatasetWork(self.raw, home / "preprocessed", executor=Processes(2))
        with self.timed("plan and prepare"):
            self.plan: Plan = work.plan(self.resources, spacing_mm)
            work.preprocess("cpu", Share())
        self.prepared = PreparedFolder(work.derived / PREPARED_FOLDER)
        self.truths = PreparedTruthFolder(ArrayFolder(work.derived / TRUTH_FOLDER))

    def timed(self, stage: str) -> Timed:
        """Measure the seconds of a stage."""
        return Timed(self.seconds, stage)

    def settings(self, changes: Mapping[str, Any]) -> AnyADPlan:
        """Return the planned settings with changes."""
        planned = from_table(AnyADPlan, dict(self.plan.configurations["anyad"]), "plan")
        return replace(planned, **changes)


class Timed:
    """Adds the seconds of a block to a table."""

    def __init__(self, table: dict[str, float], stage: str) -> None:
        self._table, self._stage = table, stage

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        seconds = time.perf_counter() - self._started
        self._table[self._stage] = self._table.get(self._stage, 0.0) + seconds


def _mark_test_set(path: Path, test: set[str]) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows = [{**row, "subset": "test" if row["case_id"] in test else "train"} for row in rows]
    write_csv(path, list(rows[0]), rows)


def train(bench: Bench, name: str, settings: AnyADPlan) -> AnyAD:
    """Train a variant, or load it if it is trained."""
    folder = bench.home / "variants" / name
    key = value_hash([str(settings), bench.train])
    method = AnyAD(settings, bench.resources)
    known = folder / "model_card.json"
    if known.is_file() and read_json(known).get("key") == key:
        method.load_state_dict(model_folder.read(folder).state)
        return method
    session = FolderSession(folder, key, bench.home / "features" / settings.layout)
    cases = TrainingCases(bench.prepared, bench.truths, bench.train, SPEC.supervision)
    if not session.load("reconstruction"):
        with bench.timed("encode training slices"):
            for training in cases:
                method.keep(training.case, session)
    with bench.timed(f"train {name}"):
        method.fit(cases, session)
    state = StoredModel(bench.plan, "anyad", method.state_dict(), None, {"key": key})
    model_folder.write(folder, state)
    return method


class Score:
    """Slice, voxel and patient metrics of one set of channels."""

    def __init__(self, axis: int, step: int, least_brain: float) -> None:
        self._axis, self._step, self._least = axis, step, least_brain
        self._curves = VoxelCurves()
        self._slices: list[tuple[bool, float]] = []
        self._patients: list[tuple[bool, float]] = []

    def add(self, prediction: Prediction, truth: PreparedTruth, brain: Any) -> None:
        """Add one case; its slices are those of the raster."""
        filled = filled_slices(brain, self._axis, self._least)
        chosen = filled[filled % self._step == 0]
        chosen = chosen[truth.slices[chosen] != UNKNOWN]
        assert prediction.slice_scores is not None, "anyad scores slices"
        self._slices += [
            (bool(truth.slices[index] == ANOMALOUS), float(prediction.slice_scores[index]))
            for index in chosen
        ]
        self._patients.append((truth.lesion is not None, prediction.score))
        evidence = np.moveaxis(prediction.anomaly_map.data, self._axis, 0)[chosen]
        lesion = np.zeros(evidence.shape, dtype=bool)
        if truth.lesion is not None:
            lesion = np.moveaxis(truth.lesion, self._axis, 0)[chosen]
        regions, _ = ndimage.label(lesion, structure=_REGIONS_OF_SLICES)
        self._curves.add(evidence / (evidence + 1), np.asarray(regions, np.int32), lesion | True)

    def table(self) -> dict[str, float]:
        """Return the metrics of the paper's tables, and the patient AUROC."""
        slices, patients = (
            (np.array([t for t, _ in rows]), np.array([s for _, s in rows]))
            for rows in (self._slices, self._patients)
        )
        voxels = self._curves.metrics()
        return {
            "slice AUROC": metrics.auroc(*slices),
            "voxel AUROC": voxels["AUROC"],
            "slice AP": metrics.average_precision(*slices),
            "voxel AP": voxels["AUPRC"],
            "slice F1": metrics.best_f1(*slices),
            "voxel F1": voxels["best_dice"],
            "AUPRO": voxels["AUPRO"],
            "patient AUROC": metrics.auroc(*patients),
        }


_REGIONS_OF_SLICES[1] = True


def evaluate(bench: Bench, name: str, method: AnyAD, settings: AnyADPlan) -> dict[str, Any]:
    """Judge the test cases with every set of channels."""
    session = FolderSession(bench.home, "test", bench.home / "features" / settings.layout)
    scores = {
        subset: Score(settings.slice_axis, settings.slice_step, settings.least_brain)
        for subset in all_subsets(settings.channels)
    }
    for case_id in bench.test:
        case, truth = bench.prepared.read(case_id), bench.truths.read(case_id)
        with bench.timed("encode test slices"):
            features = method.keep(case, session)
        for subset, score in scores.items():
            with bench.timed(f"judge {name}"):
                prediction = method.judge(case, features, subset)
            score.add(prediction, truth, np.asarray(case.brain))
    return {subset_name(subset): score.table() for subset, score in scores.items()}


def run_variant(bench: Bench, name: str) -> dict[str, Any]:
    """Train and evaluate a variant, unless its row is there."""
    settings = bench.settings(VARIANTS[name])
    path = bench.home / "rows" / f"{name}.json"
    key = value_hash([str(settings), bench.train, bench.test])
    if path.is_file() and (row := read_json(path))["key"] == key:
        return dict(row)
    before = dict(bench.seconds)
    method = train(bench, name, settings)
    tables = evaluate(bench, name, method, settings)
    spent = {k: v - before.get(k, 0.0) for k, v in bench.seconds.items()}
    row = {
        "key": key,
        "subsets": tables,
        "seconds": {stage: round(v, 1) for stage, v in spent.items() if v > 0.05},
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    write_json(path, row)
    return row


def print_combinations(name: str, tables: Mapping[str, Mapping[str, float]]) -> None:
    """Print one variant in the paper's layout: sets of channels in columns."""
    print(f"\n{name}: phantom test set, every set of channels")
    columns = list(tables)
    rows = []
    for metric in next(iter(tables.values())):
        values = {column: tables[column][metric] for column in columns}
        rows.append({"metric": metric, **values, "mean": float(np.mean(list(values.values())))})
    print(format_table(rows))


def print_ablation(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Print what every variant reaches on average, at its worst, and what it took."""
    print("\nablation, means over all sets of channels (phantoms)")
    table = []
    for name, row in rows.items():
        tables = row["subsets"]
        slices = [each["slice AUROC"] for each in tables.values()]
        line: dict[str, Any] = {"variant": name}
        for metric in next(iter(tables.values())):
            line[metric] = float(np.mean([each[metric] for each in tables.values()]))
        line["worst slice AUROC"] = min(slices)
        line["best - worst"] = max(slices) - min(slices)
        line["seconds"] = sum(row["seconds"].values())
        table.append(line)
    print(format_table(table))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variants", nargs="*", default=ISSUE_ROWS, metavar="VARIANT",
                        help=f"rows: {', '.join(VARIANTS)}")  # fmt: skip
    parser.add_argument("-o", type=Path, default=Path("anyad_benchmark"), help="working folder")
    parser.add_argument("-train", type=int, default=20, help="healthy subjects to train on")
    parser.add_argument("-test", type=int, nargs=2, default=(10, 10), metavar=("HEALTHY", "ILL"))
    parser.add_argument("-spacing_mm", type=float, help="of the working grid")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    started = time.perf_counter()
    healthy, ill = options.test
    bench = Bench(options.o, options.train, healthy, ill, options.spacing_mm)
    rows = {name: run_variant(bench, name) for name in options.variants}
    for name, row in rows.items():
        print_combinations(name, row["subsets"])
    print_ablation(rows)
    print(f"\nseconds of this run: {time.perf_counter() - started:.0f}")
    print(format_table([{"stage": k, "seconds": v} for k, v in bench.seconds.items()]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this process: {peak:.1f} GiB")


if __name__ == "__main__":
    main()
