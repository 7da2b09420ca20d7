"""What ideas beyond the paper change in codegraph3d, on the cohorts of `phantom_cohorts.py`.

Run after the ``default`` row of the cohort: prepared heads and tokens are taken from there.
Metrics are measured on the working grid, so they differ a little from the rows
of `phantom_cohorts.py`. Phantoms share one anatomy and are not patients: the figures compare
settings, they do not predict clinical performance.

- ``calibrated``: at every cell, the scores of a layer are centred on the cohort's median and
  divided by its median absolute deviation there, before layers are averaged.
- ``shifted``: a second pass whose cells are shifted by half a cell along every axis; the maps are
  averaged. It encodes and scores everything twice.
- ``diluted_edge``: plain trilinear interpolation, empty cells count as 0 (the default divides by
  the interpolated mask of the cells).
- ``nearest``: every voxel takes the score of its cell.

    python -m benchmarks.codegraph_ideas B -o phantom_benchmark
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import median_abs_deviation

from benchmarks.phantom_cohorts import COHORTS
from brainad.arrays import ArrayFolder
from brainad.case import PreparedCase
from brainad.cli.tables import format_table
from brainad.evaluation import metrics
from brainad.evaluation.voxel_curves import VoxelCurves
from brainad.methods.codegraph3d.cohort import stack_cases
from brainad.methods.codegraph3d.maps import anomaly_map, score_grid, upsample
from brainad.methods.codegraph3d.method import CoDeGraph3D, case_tokens
from brainad.methods.codegraph3d.plan import CoDeGraph3DPlan
from brainad.methods.codegraph3d.scoring import score_cohort
from brainad.methods.codegraph3d.tokens import CaseTokens
from brainad.pipeline.dataset import PLAN_FILE, PREPARED_FOLDER, TRUTH_FOLDER
from brainad.pipeline.planning import read_plan
from brainad.pipeline.resources import measure_resources
from brainad.plan import from_table
from brainad.prepared import PreparedFolder
from brainad.truth import PreparedTruthFolder
from brainad.workspace import find_workspace

Map = NDArray[np.floating[Any]]
# Where fewer volumes have a token, the cohort says too little about what is usual.
FEWEST_VOLUMES = 10


def token_scores(tokens: Sequence[CaseTokens], plan: CoDeGraph3DPlan) -> list[NDArray[Any]]:
    """Score a cohort; per layer the token scores of all cases, one after the other."""
    return [
        score_cohort(stack_cases(tokens, layer), plan.score_settings, plan.seed).scores
        for layer in range(len(plan.layers))
    ]


def calibrated(scores: NDArray[Any], cell_index: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compare every score (T,) with the scores that the cohort has at the same cell.

    The deviation is not allowed below its median over all cells: places where all volumes agree
    would turn noise into anomalies.
    """
    order = np.argsort(cell_index, kind="stable")
    starts = np.flatnonzero(np.diff(cell_index[order], prepend=-1))
    centre, deviation = np.full(len(scores), np.nan), np.full(len(scores), np.nan)
    for members in np.split(order, starts[1:]):
        if len(members) >= FEWEST_VOLUMES:
            centre[members] = np.median(scores[members])
            deviation[members] = median_abs_deviation(scores[members], scale="normal")
    deviation = np.fmax(deviation, np.nanmedian(deviation))
    # Rare cells: the cohort's own centre and deviation, over all cells.
    centre = np.where(np.isnan(centre), np.median(scores), centre)
    result: NDArray[np.float64] = (scores - centre) / deviation
    return result


def fused(layers: Sequence[NDArray[Any]], tokens: Sequence[CaseTokens]) -> list[NDArray[Any]]:
    """Average over layers and split into cases."""
    ends = np.cumsum([int(each.cells.sum()) for each in tokens])[:-1]
    return np.split(np.mean(layers, axis=0), ends)


def shifted(case: PreparedCase, cell: int) -> PreparedCase:
    """Pad a case so that every cell begins half a cell earlier."""
    pads = ((cell - cell // 2, cell // 2),) * 3
    images = {name: np.pad(image, pads) for name, image in case.images.items()}
    return replace(case, images=images, brain=np.pad(np.asarray(case.brain), pads))


def unshifted(data: Map, cell: int) -> Map:
    """Cut the padding of `shifted` off a map."""
    start, stop = cell - cell // 2, -(cell // 2)
    return data[start:stop, start:stop, start:stop]


def nearest(grid: Map, brain: NDArray[np.bool_]) -> Map:
    """Give every voxel the score of its cell."""
    cell = brain.shape[0] // grid.shape[0]
    return np.where(brain, np.kron(grid, np.ones((cell,) * 3, grid.dtype)), 0)


def measure(
    name: str, maps: Sequence[Map], patients: Sequence[float], truths: Sequence[NDArray[np.bool_]]
) -> dict[str, Any]:
    """Measure one row; maps are stretched to [0, 1] together."""
    lowest, highest = min(each.min() for each in maps), max(each.max() for each in maps)
    curves = VoxelCurves()
    for data, lesion in zip(maps, truths, strict=True):
        regions, _ = ndimage.label(lesion)
        unit = (data - lowest) / (highest - lowest)
        curves.add(unit, np.asarray(regions, np.int32), np.ones(lesion.shape, bool))
    voxels = curves.metrics()
    ill = np.array([lesion.any() for lesion in truths])
    return {
        "idea": name,
        "patient AUROC": metrics.auroc(ill, np.array(patients)),
        "voxel AP": voxels["AUPRC"],
        "Dice-max (oracle)": voxels["best_dice"],
        "AUPRO": voxels["AUPRO"],
    }


def maps_of(
    scores: Sequence[NDArray[Any]],
    tokens: Sequence[CaseTokens],
    brains: Sequence[NDArray[np.bool_]],
) -> list[Map]:
    """Make the maps of a cohort as the method does."""
    return [
        anomaly_map(score_grid(own, case.cells), case.cells, brain)
        for own, case, brain in zip(scores, tokens, brains, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", choices=list(COHORTS))
    parser.add_argument("-o", default="phantom_benchmark", help="folder of phantom_cohorts.py")
    parser.add_argument("-seed", type=int, help="of the cohort, instead of the benchmark's own")
    arguments = parser.parse_args()
    seed = COHORTS[arguments.cohort][1] if arguments.seed is None else arguments.seed
    home = Path(arguments.o) / f"{arguments.cohort}_{seed}"
    derived = home / "preprocessed_planned"
    resources = measure_resources(find_workspace({}).weights, "cpu")
    table = read_plan(derived / PLAN_FILE).configurations["codegraph3d"]
    plan = from_table(CoDeGraph3DPlan, dict(table), "plan")
    prepared = PreparedFolder(derived / PREPARED_FOLDER)
    known = PreparedTruthFolder(ArrayFolder(derived / TRUTH_FOLDER))
    cases = [prepared.read(path.name) for path in sorted((derived / PREPARED_FOLDER).iterdir())]
    brains = [np.asarray(case.brain) for case in cases]
    truths = []
    for case, brain in zip(cases, brains, strict=True):
        lesion = known.read(case.case_id).lesion
        truths.append(np.zeros(brain.shape, bool) if lesion is None else np.asarray(lesion))
    stored = home / "predictions" / "default" / ".brainad" / "encodings"
    tokens = []
    for case in cases:
        with np.load(stored / f"{case.case_id}.npz") as arrays:
            tokens.append(case_tokens(arrays, plan.layers))

    layers = token_scores(tokens, plan)
    plain = fused(layers, tokens)
    index = np.concatenate([np.flatnonzero(each.cells) for each in tokens])
    centred = fused([calibrated(each, index) for each in layers], tokens)
    # Where there is no token a map is 0, which has to be the lowest score.
    lowest = min(float(each.min()) for each in centred)
    centred = [each - lowest for each in centred]
    grids = [score_grid(own, case.cells) for own, case in zip(plain, tokens, strict=True)]
    diluted = [np.where(b, upsample(g, plan.cell), 0) for g, b in zip(grids, brains, strict=True)]
    coarse = [nearest(g, b) for g, b in zip(grids, brains, strict=True)]
    maps = maps_of(plain, tokens, brains)
    highest = [float(each.max()) for each in plain]
    rows = [
        measure("default", maps, highest, truths),
        measure(
            "calibrated",
            maps_of(centred, tokens, brains),
            [float(each.max()) for each in centred],
            truths,
        ),
        measure("diluted_edge", diluted, highest, truths),
        measure("nearest", coarse, highest, truths),
    ]
    print(format_table(rows), flush=True)

    method = CoDeGraph3D(plan, resources)
    moved = [shifted(case, plan.cell) for case in cases]
    moved_tokens = [case_tokens(method.encode(case), plan.layers) for case in moved]
    moved_scores = fused(token_scores(moved_tokens, plan), moved_tokens)
    moved_maps = maps_of(moved_scores, moved_tokens, [np.asarray(case.brain) for case in moved])
    both = [(a + unshifted(b, plan.cell)) / 2 for a, b in zip(maps, moved_maps, strict=True)]
    means = [(a + float(b.max())) / 2 for a, b in zip(highest, moved_scores, strict=True)]
    rows.append(measure("shifted", both, means, truths))
    print(f"phantom cohort {arguments.cohort}, seed {seed}")
    print(format_table(rows))


if __name__ == "__main__":
    main()
