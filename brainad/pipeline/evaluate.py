"""Compare delivered results with the truth, on the grid the truth was drawn on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np

from brainad.case import Case, Diagnosis
from brainad.dataset import Dataset, read_dataset
from brainad.errors import DataError, UsageError
from brainad.evaluation.aggregate import Delivered, Evaluation, Truth
from brainad.files import read_csv, write_json
from brainad.inference.outputs import OutputFolder
from brainad.inference.scoring import slice_scores
from brainad.nifti import ENDINGS, case_stem, read_volume
from brainad.pipeline.cases import Outcome, Watch, attempt, unwatched
from brainad.summary import Summary, ThresholdSource
from brainad.volume import Volume


@dataclass(frozen=True)
class TruthFolder:
    """Where the truth of each expected case is.

    Args:
        masks: case to mask file; None for a case without one.
        labels: case to diagnosis.
        patients: case to patient.
        anomaly_labels: mask values that count as anomalous; None means all above 0.
    """

    masks: Mapping[str, Path | None]
    labels: Mapping[str, Diagnosis]
    patients: Mapping[str, str]
    anomaly_labels: frozenset[int] | None = None


def find_truth(folder: Path, table: Path | None = None) -> TruthFolder:
    """Find the truth in a raw dataset, or in a folder of masks with an optional cases.csv.

    Args:
        folder: holds dataset.json, or ``CASE.nii.gz`` masks.
        table: cases.csv with ``case_id`` and ``label``; cases listed there are expected even
            without a mask.

    Raises:
        UsageError: no truth is found.
    """
    if (folder / "dataset.json").is_file():
        return _from_dataset(read_dataset(folder))
    if not folder.is_dir():
        raise UsageError("no such folder", str(folder), "give the folder with the truth")
    masks: dict[str, Path | None] = {
        stem: path for path in sorted(folder.iterdir()) if (stem := case_stem(path))
    }
    labels: dict[str, Diagnosis] = {}
    patients: dict[str, str] = {}
    beside = [folder / "cases.csv", folder.parent / "cases.csv"]
    found = table or next((path for path in beside if path.is_file()), None)
    if found:
        for row in read_csv(found, ("case_id", "label")):
            masks.setdefault(row["case_id"], None)
            labels[row["case_id"]] = _diagnosis(row["label"] or "unknown", found)
            patients[row["case_id"]] = row.get("patient_id") or row["case_id"]
    if not masks:
        raise UsageError(
            f"no masks ({', '.join(ENDINGS)}) and no cases.csv", str(folder), "check the path"
        )
    return TruthFolder(masks, labels, patients)


def _diagnosis(word: str, table: Path) -> Diagnosis:
    for known in get_args(Diagnosis):
        if word == known:
            return known  # type: ignore[no-any-return]
    raise UsageError(f"label {word!r}", str(table), f"use one of {get_args(Diagnosis)}")


def _from_dataset(dataset: Dataset) -> TruthFolder:
    cases: Sequence[Case] = dataset.cases
    return TruthFolder(
        {case.case_id: case.labels.mask for case in cases},
        {case.case_id: case.labels.label for case in cases},
        {case.case_id: case.patient_id for case in cases},
        dataset.description.anomaly_labels,
    )


def evaluate_folder(truth: TruthFolder, predictions: Path, watch: Watch = unwatched) -> Summary:
    """Score a prediction folder; expected cases without prediction count as failures.

    So does a case whose truth cannot be read or lies on another grid than the prediction.

    Args:
        truth: every case that is expected.
        predictions: output folder of a prediction.
        watch: shows progress.
    """
    output = OutputFolder(predictions)
    case_ids = sorted(truth.masks)
    evaluation = Evaluation(_threshold_source(output, case_ids))

    def compare() -> Iterator[Outcome]:
        for case_id in case_ids:
            add = partial(_add_case, evaluation, output, truth, case_id)
            outcome = attempt("evaluate", case_id, add)
            if outcome.failure:
                evaluation.add_missing(_without_mask(truth, case_id), is_reported=True)
            yield outcome

    for _ in watch("evaluate", len(case_ids), compare()):
        pass
    summary = evaluation.summary()
    write_json(predictions / "summary.json", summary.to_dict())
    return summary


def _add_case(
    evaluation: Evaluation, output: OutputFolder, truth: TruthFolder, case_id: str
) -> None:
    """Compare one case, or count it as missing if there is no prediction."""
    path = output.mask_path(case_id)
    mask = read_volume(path) if path.is_file() else None
    known = read_truth(truth, case_id, mask)
    if mask is None:
        marker = output.marker(case_id)
        evaluation.add_missing(known, is_reported=bool(marker and marker.failure))
    else:
        evaluation.add(known, _delivered(output, case_id, mask))


def _threshold_source(output: OutputFolder, case_ids: Sequence[str]) -> ThresholdSource:
    """Tell where the delivered thresholds come from; foreign folders bring their own."""
    for case_id in case_ids:
        marker = output.marker(case_id)
        if marker and marker.calibration:
            return "calibration_set" if marker.calibration["healthy_scores"] else "cohort_rule"
    return "model"


def _without_mask(truth: TruthFolder, case_id: str) -> Truth:
    """Return what is known about a case besides its mask."""
    path = truth.masks[case_id]
    return Truth(
        case_id=case_id,
        patient_id=truth.patients.get(case_id, case_id),
        label=truth.labels.get(case_id, "unknown"),
        lesion=None,
        voxel_mm3=1.0,
        slice_axis=2,
        file=path.name if path else None,
    )


def read_truth(truth: TruthFolder, case_id: str, predicted: Volume | None) -> Truth:
    """Read the truth of a case; without a mask, the grid is that of the prediction.

    Raises:
        DataError: the mask is unreadable, or lies on another grid than the prediction.
    """
    path = truth.masks[case_id]
    lesion: Volume | None = None
    if path is not None:
        values = read_volume(path)
        wanted = truth.anomaly_labels
        inside = np.isin(values.data, list(wanted)) if wanted else values.data > 0
        lesion = Volume(inside, values.grid)
        if predicted and not lesion.grid.matches(predicted.grid):
            raise DataError(
                "truth and prediction lie on different grids",
                str(path),
                "the truth must be drawn on the scan that was predicted",
            )
    present = lesion or predicted
    known = _without_mask(truth, case_id)
    if present is None:
        return known
    return replace(
        known,
        lesion=lesion.data if lesion else None,
        voxel_mm3=present.grid.voxel_mm3,
        slice_axis=present.grid.array_axis(2),
    )


def _delivered(output: OutputFolder, case_id: str, mask: Volume) -> Delivered:
    """Read what was delivered; a bare folder of masks has neither maps nor scores."""
    marker = output.marker(case_id)
    path = output.map_path(case_id)
    anomaly_map = read_volume(path) if path.is_file() else None
    score = float(mask.data.any())
    if marker and marker.row.get("score") is not None:
        score = float(marker.row["score"])
    elif anomaly_map is not None:
        score = float(anomaly_map.data.max())
    axis = mask.grid.array_axis(2)
    scores = slice_scores(anomaly_map, axis) if anomaly_map else None
    if marker and marker.slice_axis == axis and len(marker.slice_scores) == mask.data.shape[axis]:
        scores = np.array(marker.slice_scores, dtype=np.float32)
    return Delivered(
        mask=mask.data > 0,
        score=score,
        anomaly_map=anomaly_map.data if anomaly_map else None,
        slice_scores=scores,
        file=output.mask_path(case_id).name,
    )
