from __future__ import annotations

from pathlib import Path

import pytest

from brainad.errors import UsageError
from brainad.files import read_json, write_json
from brainad.inference.outputs import REPORT_FILE, OutputFolder
from brainad.pipeline.calibrate import calibrate_folder
from brainad.pipeline.evaluate import TruthFolder, find_truth
from brainad.plan import from_table
from brainad.prediction import Calibration


@pytest.fixture
def truth(phantom_dataset: Path) -> TruthFolder:
    return find_truth(phantom_dataset)


def forget(predictions: Path, case_id: str) -> None:
    """Remove the kept prediction of a case."""
    kept = OutputFolder(predictions).internal / "predictions"
    removed = [path for path in kept.iterdir() if path.name.startswith(case_id)]
    assert removed
    for path in removed:
        path.unlink()


def test_thresholds_can_be_read_back(predicted: Path, truth: TruthFolder, tmp_path: Path) -> None:
    target = tmp_path / "thresholds.json"
    calibration = calibrate_folder(predicted, truth, 0.2, target)
    assert from_table(Calibration, read_json(target), str(target)) == calibration
    assert len(calibration.healthy_scores) == 5
    assert "rate of 0.2" in calibration.source


def test_a_method_keeps_its_own_threshold_of_maps(
    predicted: Path, truth: TruthFolder, tmp_path: Path
) -> None:
    without = calibrate_folder(predicted, truth, 0.2, tmp_path / "a.json")
    assert without.map_threshold != 0.5
    write_json(predicted / REPORT_FILE, {"configuration": "rasalore"})
    own = calibrate_folder(predicted, truth, 0.2, tmp_path / "b.json")
    assert own.map_threshold == 0.5
    assert own.patient_threshold == without.patient_threshold


def test_only_kept_predictions_are_used(
    predicted: Path, truth: TruthFolder, tmp_path: Path
) -> None:
    target = tmp_path / "thresholds.json"
    healthy = sorted(name for name, label in truth.labels.items() if label == "healthy")
    everyone = calibrate_folder(predicted, truth, 0.2, target)
    forget(predicted, healthy[0])
    fewer = calibrate_folder(predicted, truth, 0.2, target)
    assert len(fewer.healthy_scores) == 4
    assert set(fewer.healthy_scores) < set(everyone.healthy_scores)
    for name in healthy[1:]:
        forget(predicted, name)
    target.unlink()
    with pytest.raises(UsageError, match="5 cases are known to be healthy, none") as caught:
        calibrate_folder(predicted, truth, 0.2, target)
    assert ".brainad" in caught.value.fix
    assert not target.exists()
