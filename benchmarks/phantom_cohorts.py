"""Benchmarks A and B: detection on phantom cohorts, through the whole pipeline.

A: 24 T2 phantoms, 8 with a glioma-like lesion of 6 to 20 mm radius.
B: 24 T2 phantoms, 8 with metastases of 3 to 8 mm radius.
Raw NIfTI files in, metrics on the native grids out. Phantoms share one anatomy and are not
patients: the figures compare settings, they do not predict clinical performance.

    python benchmarks/phantom_cohorts.py A default global
"""

from __future__ import annotations

import argparse
import logging
import resource
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brainad.cli.tables import format_table
from brainad.files import value_hash, write_json
from brainad.method import EncodingMethod
from brainad.phantom import LesionKind, PhantomOptions
from brainad.pipeline.cases import Share
from brainad.pipeline.dataset import PREPARED_FOLDER, DatasetWork
from brainad.pipeline.evaluate import evaluate_folder, find_truth
from brainad.pipeline.executors import Processes
from brainad.pipeline.folder import FolderOptions
from brainad.pipeline.model import Model, training_free_model
from brainad.pipeline.phantoms import Cohort, write_cohort
from brainad.pipeline.predict import DecisionOptions, predict_folder
from brainad.pipeline.resources import measure_resources
from brainad.plan import Plan
from brainad.workspace import find_workspace

COHORTS: Mapping[str, tuple[LesionKind, int]] = {"A": ("glioma", 101), "B": ("metastases", 102)}
HEALTHY, UNHEALTHY = 16, 8


@dataclass(frozen=True)
class Variant:
    """What a row of the table changes in the default plan.

    Args:
        settings: of codegraph3d.
        spacing_mm: voxel edge of the working grid; None keeps the planned one.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    spacing_mm: float | None = None


def _ten_mm(matching: str, slices: int, average: bool = False) -> Variant:
    """Cells of 14 voxels and 10 mm, close to the published 9.75 mm."""
    return Variant(
        {
            "matching": matching,
            "cell": 14,
            "slices_per_block": slices,
            "average_neighbours": average,
        },
        spacing_mm=10 / 14,
    )


VARIANTS: Mapping[str, Variant] = {
    "default": Variant(),
    "global": Variant({"matching": "global"}),
    "all_layers": Variant({"layers": [3, 6, 9, 12]}),
    "axial_coronal": Variant({"views": ["axial", "coronal"]}),
    "no_graph": Variant({"graph": None}),
    "top5": Variant({"patient_rule": "top5"}),
    "nearest_10": Variant({"nearest_share": [0.0, 0.1]}),
    "local_10mm_2": _ten_mm("local", 2),
    "global_10mm_2": _ten_mm("global", 2),
    "local_10mm_2_averaged": _ten_mm("local", 2, average=True),
    "global_10mm_2_averaged": _ten_mm("global", 2, average=True),
    "local_10mm_14": _ten_mm("local", 14),
    "global_10mm_14": _ten_mm("global", 14),
}


def run_variant(name: str, variant: Variant, raw: Path, home: Path) -> dict[str, Any]:
    """Prepare, predict and evaluate a cohort with one variant of the plan."""
    resources = measure_resources(find_workspace({}).weights, "cpu")
    grid = "planned" if variant.spacing_mm is None else f"{variant.spacing_mm:.3f}mm"
    work = DatasetWork(raw, home / f"preprocessed_{grid}", executor=Processes(2))
    plan = work.plan(resources, variant.spacing_mm)
    started = time.perf_counter()
    work.preprocess("cpu", Share())
    prepared = time.perf_counter()
    plan = _changed(plan, variant.settings)
    model = training_free_model(plan, "codegraph3d", resources)
    target = home / "predictions" / name
    tokens = _tokens_folder(home, model)
    encoded = tokens.is_dir()
    if encoded:
        shutil.copytree(tokens, target / ".brainad" / "encodings", dirs_exist_ok=True)
    report = predict_folder(
        raw / "imagesTr",
        target,
        lambda _fingerprint: model,
        FolderOptions(prepared=work.derived / PREPARED_FOLDER),
        DecisionOptions(),
    )
    if not encoded:
        shutil.copytree(target / ".brainad" / "encodings", tokens)
    summary = evaluate_folder(find_truth(raw), target)
    cases = HEALTHY + UNHEALTHY
    row = {
        "variant": name,
        "patient AUROC": summary.patient_level["AUROC"],
        "voxel AP": summary.pixel_level["AUPRC"],
        "Dice-max (oracle)": summary.pixel_level["best_dice"],
        "Dice-max per case (oracle)": summary.pixel_level["oracle_dice_mean"],
        "Dice at cohort threshold": summary.by_group["unhealthy"]["Dice"],
        "prepare s/case": (prepared - started) / cases,
        "encode s/case": None if encoded else report.seconds["encode"] / cases,
        "score s": report.seconds["score"],
        "restore s/case": report.seconds["restore"] / cases,
        "peak GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    write_json(home / "rows" / f"{name}.json", row)
    return row


def _tokens_folder(home: Path, model: Model) -> Path:
    """Name the folder where variants that differ in scoring alone share their tokens."""
    assert isinstance(model.method, EncodingMethod), "codegraph3d encodes"
    grid = [model.plan.preprocessing.working_shape, model.plan.preprocessing.spacing_mm]
    return home / "tokens" / value_hash([model.method.encoding_key, grid])


def _changed(plan: Plan, settings: Mapping[str, Any]) -> Plan:
    table = {**plan.configurations["codegraph3d"], **settings}
    return replace(plan, configurations={"codegraph3d": table})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", choices=list(COHORTS))
    parser.add_argument("variants", nargs="+", choices=list(VARIANTS))
    parser.add_argument("-o", default="phantom_benchmark", help="working folder")
    parser.add_argument("-seed", type=int, help="of the cohort, instead of the benchmark's own")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    lesion, seed = COHORTS[arguments.cohort]
    seed = seed if arguments.seed is None else arguments.seed
    home = Path(arguments.o) / f"{arguments.cohort}_{seed}"
    raw = home / f"Dataset{seed}_Phantoms{arguments.cohort}"
    options = PhantomOptions(channels=("T2",), lesion=lesion)
    write_cohort(Cohort(raw, options, HEALTHY, UNHEALTHY, seed), executor=Processes(2))
    rows = [run_variant(name, VARIANTS[name], raw, home) for name in arguments.variants]
    print(
        f"phantom cohort {arguments.cohort}, seed {seed}: {HEALTHY} healthy, {UNHEALTHY} {lesion}"
    )
    print(format_table(rows))


if __name__ == "__main__":
    main()
