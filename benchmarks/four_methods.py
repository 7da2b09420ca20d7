"""One table over all methods on one phantom cohort, each with the labels it may see.

The cohorts are those of benchmark E (medsad_phantoms.py): 24 FLAIR phantoms are learnt from (8
healthy, 16 with glioma-like lesions), 6 healthy ones set thresholds, 16 are judged (6 healthy, 10
ill). anyad learns from slices without lesion, rasalore from labels per slice, medsad_clip from
masks; codegraph3d sees nothing but the 16, which it compares with each other, and its threshold
comes from them. Dice is given at the threshold that was set beforehand and at the best one
(oracle, chosen on the judged cases). Phantoms share one anatomy and are not patients. Everything
is kept; the same command continues.

    python -m benchmarks.four_methods
    python -m benchmarks.four_methods medsad_clip -scale toy
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.medsad_phantoms import SCALES
from benchmarks.trained_cohorts import Judged, Prepared, prepare, train_and_judge
from brainad import methods
from brainad.cli.tables import format_table
from brainad.files import write_json
from brainad.inference.outputs import OutputFolder
from brainad.nifti import read_volume

# Settings with which a method shows in a minute that it works.
_TOY_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "anyad": {"epochs": 1},
    "rasalore": {
        "tuning": {"image_size": 112, "slices_per_class": 30, "space_epochs": 10, "epochs": 2},
        "training": {"slices": 30, "epochs": 4, "batch": 8},
    },
}


def table_row(configuration: str, judged: Judged) -> dict[str, Any]:
    """Pick the figures of the README's table."""
    summary = judged.summary
    return {
        "method": configuration,
        "labels": methods.get(configuration).supervision.value,
        "patient AUROC": summary.patient_level["AUROC"],
        "voxel AP": summary.pixel_level["AUPRC"],
        "Dice": summary.by_group["unhealthy"]["Dice"],
        "Dice oracle": summary.pixel_level["oracle_dice_mean"],
        "threshold from": summary.threshold_source,
        "training min": judged.training_minutes,
        "s/case": judged.seconds_per_case,
    }


def draw(prepared: Prepared, judged: Mapping[str, Judged], path: Path) -> None:
    """Show the largest lesion of the test cohort and what each method says about it."""
    raw = prepared.raw("testing")
    masks = {p.name: read_volume(p) for p in sorted((raw / "labelsTr").glob("*.nii.gz"))}
    name = max(masks, key=lambda each: np.count_nonzero(masks[each].data))
    lesion, case_id = masks[name].data > 0, name.removesuffix(".nii.gz")
    level = int(lesion.sum(axis=(0, 1)).argmax())
    image = read_volume(raw / "imagesTr" / f"{case_id}_0000.nii.gz").data[:, :, level]
    figure = Figure(figsize=(3 * (1 + len(judged)), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels: Sequence[Any] = figure.subplots(1, 1 + len(judged), squeeze=False)[0]
    maps: dict[str, Any] = {"phantom, true outline": None}
    for configuration, each in judged.items():
        stored = read_volume(OutputFolder(each.predictions).map_path(case_id))
        maps[configuration] = stored.data[:, :, level]
    for panel, (title, evidence) in zip(panels, maps.items(), strict=True):
        panel.imshow(image.T, cmap="gray", origin="lower")
        if evidence is not None:
            shown = np.ma.masked_less(evidence.T, 0.4)
            panel.imshow(shown, cmap="inferno", origin="lower", vmin=0.4, vmax=0.75, alpha=0.75)
        panel.contour(lesion[:, :, level].T, levels=[0.5], colors="#35e0a1", linewidths=1)
        panel.set_title(title, fontsize=10)
        panel.set_axis_off()
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=methods.available())
    parser.add_argument("-o", default="trained_benchmark", help="working folder")
    parser.add_argument("-scale", choices=("full", "toy"), default="full")
    parser.add_argument("-np", type=int, default=2, help="worker processes for preprocessing")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    design, medsad = SCALES[arguments.scale]
    shortened = _TOY_SETTINGS if arguments.scale == "toy" else {}
    settings = {**shortened, "medsad_clip": medsad}
    home = Path(arguments.o) / arguments.scale
    prepared = prepare(replace(design, home=home), arguments.np)
    judged = {}
    for configuration in arguments.methods:
        judged[configuration] = train_and_judge(
            prepared, configuration, configuration, settings.get(configuration, {})
        )
        rows = [table_row(name, each) for name, each in judged.items()]
        write_json(home / "four_methods.json", rows)
    draw(prepared, judged, home / "four_methods.png")
    print("all methods on one cohort; phantom data")
    print(format_table(rows))
    print(f"picture: {home / 'four_methods.png'}")


if __name__ == "__main__":
    main()
