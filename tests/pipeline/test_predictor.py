from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainad.errors import DataError, UsageError
from brainad.files import read_csv
from brainad.inference.outputs import PATIENT_COLUMNS
from brainad.pipeline.model import open_model
from brainad.pipeline.predictor import Predictor
from brainad.plan import Resources
from brainad.volume import Grid


@pytest.fixture
def scan(phantom_dataset: Path) -> Path:
    return phantom_dataset / "imagesTr" / "phantom_003_0000.nii.gz"


@pytest.fixture(scope="module")
def predictor(phantom_bank: Path) -> Predictor:
    return Predictor.from_model(str(phantom_bank), device="cpu")


def test_one_scan_in_memory_and_nothing_is_written(
    predictor: Predictor, scan: Path, phantom_bank: Path
) -> None:
    before = sorted(phantom_bank.parent.rglob("*"))
    image = nib.nifti1.load(scan)
    result = predictor.predict_case({"T2": image}, "somebody")
    assert result.case_id == "somebody"
    assert result.anomaly_map.grid.matches(Grid(image.shape, image.affine), 0)
    assert result.mask.data.dtype == np.bool_
    assert 0 <= result.score < 1
    assert len(result.slice_scores) == image.shape[result.slice_axis]
    assert result.warnings == ()
    assert sorted(phantom_bank.parent.rglob("*")) == before
    from_path = predictor.predict_case({"T2": str(scan)})
    assert from_path.anomaly_map.data.tobytes() == result.anomaly_map.data.tobytes()


def test_channels_the_plan_does_not_know_are_ignored(predictor: Predictor, scan: Path) -> None:
    known = predictor.predict_case({"T2": scan})
    both = predictor.predict_case({"T2": scan, "SWI": scan})
    assert both.score == known.score
    with pytest.raises(UsageError, match="channels SWI are not what the model looks at") as caught:
        predictor.predict_case({"SWI": scan})
    assert caught.value.fix == "give T2"


def test_a_broken_scan_is_a_data_error(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"no scan")
    with pytest.raises(DataError, match="not a readable NIfTI file"):
        predictor.predict_case({"T2": tmp_path / "a.nii.gz"})


def test_a_folder_is_predicted_as_the_command_does(
    predictor: Predictor, scan: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    shutil.copy2(scan, source / "a_T2.nii.gz")
    predictor.predict_folder(str(source), str(tmp_path / "out"))
    (row,) = read_csv(tmp_path / "out" / "patient_scores.csv", PATIENT_COLUMNS)
    assert (row["case_id"], row["status"]) == ("a", "ok")
    alone = predictor.predict_case({"T2": scan})
    assert float(row["score_raw"]) == pytest.approx(alone.score_raw, rel=5e-3)


def test_without_thresholds_nothing_is_decided(
    phantom_bank: Path, resources: Resources, scan: Path
) -> None:
    model = replace(open_model(phantom_bank, resources), calibration=None)
    with pytest.raises(UsageError, match="this model has no thresholds") as caught:
        Predictor(model, "cpu").predict_case({"T2": scan})
    assert "brainad_calibrate" in caught.value.fix


def test_what_is_not_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Predictor.from_model(tmp_path, device="cpu")
