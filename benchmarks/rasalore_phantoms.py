"""Benchmark D: rasalore on phantoms, from slice labels to masks.

40 phantoms with a glioma-like lesion in T2, T1 and FLAIR, stripped and in template space like
the published data; 24 of them train with slice labels alone, 16 are drawn. Masks are kept apart
from the dataset and are only read to write the slice labels and to compare.

Dice and average precision follow the released protocol: per slice with more than 200 lesion
pixels, then the mean; beside them the Dice of whole volumes and the share of slices without a
lesion in which more than 50 mm² are drawn. Phantoms share one anatomy and are
not patients: the figures compare settings, they do not predict clinical performance.

Everything is kept in the working folder, and the same command continues after an interruption.

    python -m benchmarks.rasalore_phantoms default t2 no_structural tversky
    python -m benchmarks.rasalore_phantoms t2 -scale toy
"""

from __future__ import annotations

import argparse
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.arrays import ArrayFolder
from brainad.case import Labels, PreparedCase, Supervision
from brainad.cli.tables import format_table
from brainad.evaluation.metrics import average_precision
from brainad.files import read_json, value_hash, write_csv, write_json
from brainad.method import Overlay
from brainad.methods.rasalore.crop import brain_window
from brainad.methods.rasalore.examples import Example, grey_slices, rows_by_case
from brainad.methods.rasalore.grey import gamma_corrected
from brainad.methods.rasalore.losses import LossSettings
from brainad.methods.rasalore.method import RASALoRE
from brainad.methods.rasalore.plan import RasalorePlan
from brainad.methods.rasalore.protocol import (
    FEW_PIXELS,
    published_label,
    published_slices,
    published_split,
)
from brainad.methods.rasalore.published_metrics import (
    hard_dice,
    released_target,
    slice_metrics,
)
from brainad.methods.rasalore.stage_one import PROMPT_STAGE, SPACE_STAGE
from brainad.nifti import read_volume
from brainad.phantom import PhantomOptions
from brainad.pipeline.cases import Share
from brainad.pipeline.dataset import PREPARED_FOLDER, TRUTH_FOLDER, DatasetWork
from brainad.pipeline.executors import Processes
from brainad.pipeline.phantoms import Cohort, write_cohort
from brainad.pipeline.resources import measure_resources
from brainad.plan import Plan, Resources, from_table, to_table
from brainad.prepared import PreparedFolder
from brainad.preprocessing.truth import place_truth
from brainad.training.session import FolderSession
from brainad.training.supervision import TrainingCases
from brainad.truth import PreparedTruthFolder
from brainad.volume import Volume
from brainad.workspace import find_workspace

SEED = 124
PATIENTS = 40
TRAINING_SHARE = 0.6
CHANNELS = ("T2", "T1", "FLAIR")
AXIS = 2
BRAIN_MM2 = 1000
SPOT_MM2 = 50


def _as_planned(plan: RasalorePlan) -> RasalorePlan:
    return plan


def _losses(plan: RasalorePlan, losses: LossSettings) -> RasalorePlan:
    return replace(_bridge_alone(plan), losses=losses)


def _bridge_alone(plan: RasalorePlan) -> RasalorePlan:
    return replace(plan, channels=plan.channels[:1])


def _class_token(plan: RasalorePlan) -> RasalorePlan:
    return replace(_bridge_alone(plan), masks=replace(plan.masks, attention="class_token"))


VARIANTS: Mapping[str, Callable[[RasalorePlan], RasalorePlan]] = {
    "default": _as_planned,
    "t2": _bridge_alone,
    "no_structural": lambda plan: _losses(plan, replace(plan.losses, structural=0.0)),
    "tversky": lambda plan: _losses(plan, replace(plan.losses, overlap="tversky")),
    "integer_frequencies": lambda plan: replace(_bridge_alone(plan), integer_frequencies=True),
    "class_token": _class_token,
    "medsam_lite": lambda plan: replace(_bridge_alone(plan), medsam="lite"),
}


@dataclass(frozen=True)
class Benchmark:
    """One cohort and its working folder.

    Args:
        home: working folder.
        patients: number of phantoms.
        spacing_mm: voxel edge of the phantoms and of the working grid; None as planned.
    """

    home: Path
    patients: int
    spacing_mm: float | None

    @property
    def raw(self) -> Path:
        return self.home / f"Dataset{SEED}_PhantomsD"

    @property
    def masks(self) -> Path:
        """Where lesion masks are, out of reach of the pipeline."""
        return self.home / "masks"

    @property
    def training(self) -> list[str]:
        names = [f"phantom_{number:03d}" for number in range(self.patients)]
        return sorted(published_split(names, TRAINING_SHARE))

    @property
    def test(self) -> list[str]:
        names = {f"phantom_{number:03d}" for number in range(self.patients)}
        return sorted(names - set(self.training))

    def make(self) -> None:
        """Write the cohort, hide its masks and write the slice labels of the training cases."""
        edge = self.spacing_mm or 1.0
        options = PhantomOptions(
            channels=CHANNELS,
            lesion="glioma",
            spacing_mm=(edge, edge, edge),
            random_pose=False,
        )
        write_cohort(Cohort(self.raw, options, 0, self.patients, SEED), executor=Processes(2))
        self.masks.mkdir(exist_ok=True)
        for mask in sorted((self.raw / "labelsTr").glob("*.nii.gz")):
            shutil.move(mask, self.masks / mask.name)
        shutil.rmtree(self.raw / "labelsTr", ignore_errors=True)
        rows = []
        for name in self.training:
            lesion = np.asarray(read_volume(self.masks / f"{name}.nii.gz").data) > 0
            for index in published_slices(lesion.shape[AXIS]):
                label = published_label(np.take(lesion, index, AXIS), FEW_PIXELS / edge**2)
                if label >= 0:
                    rows.append(
                        {"case_id": name, "axis": AXIS, "slice_index": index, "label": label}
                    )
        write_csv(self.raw / "slices.csv", ("case_id", "axis", "slice_index", "label"), rows)

    def prepare(self, resources: Resources) -> tuple[Plan, Path]:
        derived = self.home / "preprocessed"
        work = DatasetWork(self.raw, derived, executor=Processes(2))
        plan = work.plan(resources, self.spacing_mm)
        work.preprocess("cpu", Share())
        return plan, derived

    def lesion(self, case: PreparedCase) -> NDArray[np.bool_]:
        """Return the truth of a case on the working grid."""
        native = read_volume(self.masks / f"{case.case_id}.nii.gz")
        drawn = Volume(np.asarray(native.data) > 0, native.grid)
        placed = place_truth(Labels(), drawn, case.placement, np.asarray(case.brain), AXIS)
        assert placed.lesion is not None, "every phantom of this benchmark has one"
        return placed.lesion


@dataclass(frozen=True)
class VariantSession:
    """Stage 1 is learnt once for all variants that plan it alike; stage 2 is a variant's own."""

    own: FolderSession
    shared: FolderSession
    shown: list[Overlay] = field(default_factory=list)

    def load(self, stage: str) -> dict[str, Any] | None:
        return self._keeper(stage).load(stage)

    def save(self, stage: str, state: Mapping[str, Any]) -> None:
        self._keeper(stage).save(stage, state)

    def report(self, stage: str, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        self._keeper(stage).report(stage, epoch, epochs, values)

    def show(self, name: str, overlays: Iterable[Overlay]) -> None:
        self.shown[:] = overlays
        self.own.show(name, self.shown)

    def array(self, name: str, key: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        return self.own.array(name, key, shape, dtype)

    def _keeper(self, stage: str) -> FolderSession:
        return self.shared if stage in (SPACE_STAGE, PROMPT_STAGE) else self.own


def _stage_one_key(plan: RasalorePlan) -> str:
    learnt = (plan.seed, plan.encoder, plan.channels[0])
    return value_hash([*learnt, to_table(plan.prompts), to_table(plan.tuning)])


def run(benchmark: Benchmark, variant: str, toy: bool) -> dict[str, Any]:
    """Train and score one variant of the plan; what is there already is used."""
    resources = measure_resources(find_workspace({}).weights, "cpu")
    benchmark.make()
    plan, derived = benchmark.prepare(resources)
    settings = VARIANTS[variant](_settings(plan, toy))
    row_path = benchmark.home / "rows" / f"{variant}.json"
    key = value_hash(to_table(settings))
    if row_path.is_file() and read_json(row_path)["key"] == key:
        stored: dict[str, Any] = read_json(row_path)["row"]
        return stored
    prepared = PreparedFolder(derived / PREPARED_FOLDER)
    truths = PreparedTruthFolder(ArrayFolder(derived / TRUTH_FOLDER))
    cases = TrainingCases(prepared, truths, benchmark.training, Supervision.SLICE)
    work = benchmark.home / "training" / variant
    arrays = benchmark.home / "training" / "arrays"
    shared = FolderSession(arrays.with_name("stage_one"), _stage_one_key(settings), arrays)
    session = VariantSession(FolderSession(work, key, arrays), shared)
    method = RASALoRE(settings, resources)
    started = time.perf_counter()
    method.fit(cases, session)
    minutes = (time.perf_counter() - started) / 60
    row = {"variant": variant, "fit minutes": minutes}
    row |= _pseudo_mask_scores(benchmark, cases, session.shown)
    everyone = TrainingCases(
        prepared, truths, [*benchmark.training, *benchmark.test], Supervision.SLICE
    )
    row |= _test_pseudo_scores(benchmark, everyone, method, session)
    subsets = {"": settings.channels}
    if len(settings.channels) > 1:
        subsets |= {f" {name}": (name,) for name in settings.channels}
    for label, channels in subsets.items():
        row |= _test_scores(benchmark, prepared, method, channels, label)
    alone = _slices_alone(settings, resources, method)
    row |= _test_scores(benchmark, prepared, alone, settings.channels, " slices alone")
    write_json(row_path, {"key": key, "row": row})
    return row


def _pseudo_mask_scores(
    benchmark: Benchmark, cases: TrainingCases, overlays: Sequence[Overlay]
) -> dict[str, float]:
    """Score the masks of the training slices; they are binary for both measures, as published."""
    lesions = {t.case.case_id: benchmark.lesion(t.case) for t in cases}
    dice, precision = [], []
    for overlay in overlays:
        name, index = overlay.name.rsplit("_slice_", 1)
        lesion = np.take(lesions[name], int(index), AXIS)
        if lesion.any():
            dice.append(hard_dice(overlay.mask.astype(float), lesion))
            precision.append(average_precision(lesion.ravel(), overlay.mask.ravel()))
    return {"pseudo Dice": float(np.mean(dice)), "pseudo AUPRC": float(np.mean(precision))}


def _test_pseudo_scores(
    benchmark: Benchmark, everyone: TrainingCases, method: RASALoRE, session: VariantSession
) -> dict[str, float]:
    """Score what stage 1 alone draws in the slices that the network is judged on."""
    examples = []
    for number in range(len(benchmark.training), len(everyone)):
        case = everyone[number].case
        areas = benchmark.lesion(case).sum(tuple({0, 1, 2} - {AXIS}))
        large = np.flatnonzero(areas * case.placement.working.spacing_mm[0] ** 2 > FEW_PIXELS)
        examples += [Example(number, int(index), True) for index in large]
    masks = method.pseudo_masks(everyone, examples, session)
    scores = []
    for number, rows in rows_by_case(examples).items():
        case = everyone[number].case
        lesion = benchmark.lesion(case)
        drawn = np.zeros(lesion.shape, dtype=np.float32)
        for row in rows:
            drawn[:, :, examples[row].index] = masks[row] / np.float32(255)
        scores.append(_case_scores(drawn, lesion, case))
    return {
        f"pseudo test {measure}": float(np.mean([v for s in scores for v in s[measure]]))
        for measure in ("Dice", "AUPRC")
    }


def _slices_alone(settings: RasalorePlan, resources: Resources, method: RASALoRE) -> RASALoRE:
    """Return the same network, whose slices are not averaged with their neighbours."""
    alone = RASALoRE(replace(settings, through_plane=0.0), resources)
    alone.load_state_dict(method.state_dict())
    return alone


def _test_scores(
    benchmark: Benchmark,
    prepared: PreparedFolder,
    method: RASALoRE,
    channels: Sequence[str],
    label: str,
) -> dict[str, float]:
    """Score the test cases with some of the channels."""
    scores: list[dict[str, list[float]]] = []
    seconds, slices = 0.0, 0
    for name in benchmark.test:
        whole = prepared.read(name)
        images = {c: np.asarray(whole.images[c]) for c in channels}
        case = replace(whole, images=images, brain=np.asarray(whole.brain))
        started = time.perf_counter()
        (prediction,) = method.predict([case])
        seconds += time.perf_counter() - started
        assert prediction.slice_scores is not None
        slices += int((prediction.slice_scores > 0).sum()) * len(channels)
        drawn, lesion = prediction.anomaly_map.data, benchmark.lesion(case)
        scores.append(_case_scores(drawn, lesion, case) | _false_positives(drawn, lesion, case))
    row = {
        f"{measure}{label}": float(np.mean([v for s in scores for v in s[measure]]))
        for measure in scores[0]
    }
    return row | {f"slices/s{label}": slices / seconds}


def _false_positives(
    drawn: NDArray[np.float32], lesion: NDArray[np.bool_], case: PreparedCase
) -> dict[str, list[float]]:
    """Tell of each slice with brain and without lesion whether more than a spot is drawn there."""
    pixel = case.placement.working.spacing_mm[0] ** 2
    brain, sick, found = (
        np.count_nonzero(volume, axis=(0, 1)) * pixel
        for volume in (np.asarray(case.brain), lesion, drawn >= 0.5)
    )
    healthy = (brain >= BRAIN_MM2) & (sick == 0)
    return {"drawn in healthy": [float(area > SPOT_MM2) for area in found[healthy]]}


def _case_scores(
    drawn: NDArray[np.float32], lesion: NDArray[np.bool_], case: PreparedCase
) -> dict[str, list[float]]:
    """Score slices in the released frame, and the volume as it is."""
    frame = 256
    channel = next(iter(case.images))
    edge = case.placement.working.spacing_mm[0]
    dice, precision = [], []
    slices = gamma_corrected(grey_slices(case, channel, AXIS))
    for index in range(lesion.shape[AXIS]):
        truth = np.take(lesion, index, AXIS)
        if truth.sum() * edge**2 <= FEW_PIXELS:
            continue
        window = brain_window(slices[index])
        target = released_target(np.where(truth, np.uint8(255), np.uint8(0)), window, frame)
        levels = np.round(255 * np.take(drawn, index, AXIS)).astype(np.uint8)
        picture = window.cut(levels, frame) / np.float32(255)
        dice.append(hard_dice(picture, target))
        precision.append(slice_metrics(picture, target).auprc)
    return {
        "Dice": dice,
        "AUPRC": precision,
        "volume Dice": [hard_dice(drawn, lesion)],
        "volume AP": [average_precision(lesion.ravel(), drawn.ravel())],
    }


def _settings(plan: Plan, toy: bool) -> RasalorePlan:
    settings = from_table(RasalorePlan, plan.configurations["rasalore"], "plan")
    if not toy:
        return settings
    return replace(
        settings,
        encoder="tiny",
        prompts=replace(settings.prompts, depth=4, first_block=2),
        tuning=replace(settings.tuning, image_size=56, slices_per_class=20, epochs=2),
        least_mask=1,
        training=replace(settings.training, slices=20, epochs=2, channel_epochs=1, batch=4),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variants", nargs="*", choices=list(VARIANTS), default=["default"])
    parser.add_argument("-o", default="rasalore_benchmark", help="working folder")
    parser.add_argument("-scale", choices=("full", "toy"), default="full",
                        help="toy: 5 coarse phantoms, random encoders")  # fmt: skip
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    is_toy = arguments.scale == "toy"
    home = Path(arguments.o).absolute() / arguments.scale
    home.mkdir(parents=True, exist_ok=True)
    benchmark = Benchmark(home, *((5, 4.0) if is_toy else (PATIENTS, None)))
    rows: list[Mapping[str, Any]] = [
        run(benchmark, variant, is_toy) for variant in arguments.variants
    ]
    print("phantom benchmark D, rasalore; phantom data")
    print(format_table(rows))


if __name__ == "__main__":
    main()
