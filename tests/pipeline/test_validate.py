"""Held-out cases of a fold, judged and delivered with a method that needs no training."""

from __future__ import annotations

from pathlib import Path

import pytest

from brainad.dataset import read_dataset
from brainad.files import read_csv, read_json
from brainad.inference.outputs import PATIENT_COLUMNS
from brainad.pipeline.cases import unwatched
from brainad.pipeline.dataset import PLAN_FILE, PREPARED_FOLDER, DatasetWork
from brainad.pipeline.evaluate import find_truth
from brainad.pipeline.model import training_free_model
from brainad.pipeline.planning import read_plan
from brainad.pipeline.validate import Validation
from brainad.plan import Resources
from brainad.prediction import Calibration
from brainad.prepared import PreparedFolder

# A cohort of five is the smallest that codegraph3d scores, and one of them fails below.
HELD_OUT = tuple(f"phantom_{number:03d}" for number in (0, 1, 2, 3, 4, 5))


@pytest.fixture
def validation(phantom_work: DatasetWork, resources: Resources, tmp_path: Path) -> Validation:
    cases = [c for c in read_dataset(phantom_work.raw).cases if c.case_id in HELD_OUT]
    model = training_free_model(
        read_plan(phantom_work.derived / PLAN_FILE), "codegraph3d", resources
    )
    prepared = PreparedFolder(phantom_work.derived / PREPARED_FOLDER)
    return Validation(model, cases, prepared, tmp_path / "validation", unwatched)


def test_held_out_cases_are_judged_delivered_and_evaluated(
    validation: Validation, phantom_work: DatasetWork, tmp_path: Path
) -> None:
    statistics = validation.judge()
    assert sorted(statistics) == list(HELD_OUT)
    scores = {name: each.score for name, each in statistics.items()}
    calibration = Calibration(max(scores.values()), 0.5, "a test", tuple(sorted(scores.values())))
    summary = validation.deliver(calibration, find_truth(phantom_work.raw), "cpu")
    rows = read_csv(tmp_path / "validation" / "patient_scores.csv", PATIENT_COLUMNS)
    # Reported scores are scaled by the thresholds; the order stays.
    by_score = sorted(rows, key=lambda row: float(row["score"]))
    assert [row["case_id"] for row in by_score] == sorted(scores, key=scores.__getitem__)
    for name in HELD_OUT:
        assert (tmp_path / "validation" / f"{name}.nii.gz").is_file()
        assert (tmp_path / "validation" / "anomaly_maps" / f"{name}.nii.gz").is_file()
    table = read_json(tmp_path / "validation" / "summary.json")
    assert table["patient_level"]["AUROC"] == summary.patient_level["AUROC"]


def test_a_case_that_cannot_be_judged_is_left_out(
    validation: Validation, phantom_work: DatasetWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = PreparedFolder.read

    def refuse(self: PreparedFolder, name: str) -> object:
        if name == HELD_OUT[0]:
            raise OSError("disk error")
        return read(self, name)

    monkeypatch.setattr(PreparedFolder, "read", refuse)
    assert phantom_work.derived.is_dir()
    assert sorted(validation.judge()) == list(HELD_OUT[1:])
