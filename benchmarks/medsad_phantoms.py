"""Benchmark E: medsad_clip on phantoms with voxel masks, and the paper's ablation.

40 FLAIR phantoms with glioma-like lesions: 24 are learnt from (16 ill, 8 healthy), 16 are judged
(10 ill, 6 healthy), and 6 other healthy ones set the thresholds. Rows: adapters alone (maps from
similarities with fixed words), with learnt words, with cross-attention and decoder, with the
margin loss (the whole method, which four_methods.py finds in the same folder).

Dice over slices is given for slices with a lesion and for all slices, beside that of a predictor
that finds nothing; published tables often mix them up. Phantoms share one anatomy and are not
patients. Everything is kept; the same command continues.

    python -m benchmarks.medsad_phantoms
    python -m benchmarks.medsad_phantoms medsad_clip -scale toy
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.trained_cohorts import Design, Judged, prepare, train_and_judge
from brainad.cli.tables import format_table
from brainad.files import write_json

ROWS: Mapping[str, Mapping[str, Any]] = {
    "adapters": {
        "network": {"segmentation": "similarity", "learnable_tokens": 0},
        "losses": {"margin": 0.0},
    },
    "prompts": {"network": {"segmentation": "similarity"}, "losses": {"margin": 0.0}},
    "cross_attention": {"losses": {"margin": 0.0}},
    "medsad_clip": {},
}
# What the benchmark is for, what shows in a quarter of an hour whether a change helps, and what
# shows in minutes that everything runs.
SCALES: Mapping[str, tuple[Design, Mapping[str, Any]]] = {
    "full": (Design(Path(), ("FLAIR",), "glioma", (8, 16), 6, (6, 10), 105), {}),
    "small": (
        Design(Path(), ("FLAIR",), "glioma", (4, 8), 3, (3, 4), 105, spacing_mm=2.0),
        {"epochs": 6, "longest_side": 224},
    ),
    "toy": (
        Design(Path(), ("FLAIR",), "glioma", (2, 3), 2, (2, 2), 105, spacing_mm=3.0),
        {"epochs": 2, "batches_per_epoch": 8, "batch": 8, "longest_side": 112,
         "augmented_views": 0},
    ),
}  # fmt: skip


def table_row(name: str, judged: Judged) -> dict[str, Any]:
    """Pick the figures that the paper reports, and those that make them honest."""
    slices, voxels = judged.summary.slice_level, judged.summary.pixel_level
    return {
        "row": name,
        "lesion slices Dice": slices["Dice_lesion_slices"],
        "all slices Dice": slices["Dice_all_slices"],
        "nothing found": slices["Dice_all_slices_if_nothing_is_found"],
        "pooled Dice": slices["Dice_pooled"],
        "volume Dice": judged.summary.by_group["unhealthy"]["Dice"],
        "slice accuracy": slices["accuracy"],
        "slice AUROC": slices["AUROC"],
        "voxel AUROC": voxels["AUROC"],
        "voxel AP": voxels["AUPRC"],
        "patient AUROC": judged.summary.patient_level["AUROC"],
        "training min": judged.training_minutes,
        "s/case": judged.seconds_per_case,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", default=list(ROWS), help=f"of {', '.join(ROWS)}")
    parser.add_argument("-o", default="trained_benchmark", help="working folder")
    parser.add_argument("-scale", choices=list(SCALES), default="full")
    parser.add_argument("-np", type=int, default=2, help="worker processes for preprocessing")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    design, settings = SCALES[arguments.scale]
    home = Path(arguments.o) / arguments.scale
    prepared = prepare(replace(design, home=home), arguments.np)
    rows = []
    for name in arguments.rows:
        judged = train_and_judge(prepared, name, "medsad_clip", {**settings, **ROWS[name]})
        rows.append(table_row(name, judged))
        write_json(home / "table.json", rows)
    print("phantom benchmark E, medsad_clip; phantom data")
    print(format_table(rows))


if __name__ == "__main__":
    main()
