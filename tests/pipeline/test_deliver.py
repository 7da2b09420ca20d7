from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from brainad.arrays import ArrayFolder
from brainad.case import Case, PreparedCase
from brainad.evaluation.calibration import CaseStatistics
from brainad.inference.outputs import FAILURE_COLUMNS, PATIENT_COLUMNS, OutputFolder
from brainad.nifti import read_volume
from brainad.pipeline.cases import Failure
from brainad.pipeline.deliver import Deliverer, Delivery, failure_marker, make_result
from brainad.pipeline.detect import PredictionFolder
from brainad.prediction import Calibration, Prediction
from brainad.prepared import PreparedFolder, PreparedRecord
from brainad.volume import Volume

DELIVERY = Delivery(
    calibration=Calibration(0.5, 2.0, "a test", (1.0, 1.5, 3.0)),
    minimum_mm3=0.0,
    slice_axis=2,
    channels=("T1", "FLAIR"),
    device="cpu",
    model_id="m",
    seconds={"case_1": 3.14},
)


def predict(case: PreparedCase, score: float = 2.0) -> Prediction:
    """Find something to the right of the middle of the working grid."""
    data = np.where(case.brain, np.float32(0.1), np.float32(0))
    data[3:, :, :] *= 9
    return Prediction(case.case_id, Volume(data, case.placement.working), score)


class Desk:
    """An output folder with one predicted case, and what is needed to deliver it."""

    def __init__(self, folder: Path, prepared: PreparedCase) -> None:
        grid = prepared.placement.native
        scan = folder / "scan.nii.gz"
        image = nib.nifti1.Nifti1Image(np.ones(grid.shape, dtype=np.int16), grid.affine)
        nib.save(image, scan)
        self.case = Case("case_1", "p", {"T1": scan}, "T1")
        self.output = OutputFolder(folder / "out")
        self.prepared = PreparedFolder(folder / "prepared")
        self.prepared.write(prepared, PreparedRecord("k", ("T1", "FLAIR"), (), {}))
        self.predictions = PredictionFolder(ArrayFolder(folder / "predictions"), self.prepared)
        self.predictions.write(predict(prepared), "p", CaseStatistics(2.0, 0.9))

    def deliver(self, key: str = "p", **changes: Any) -> float:
        """Deliver and return the seconds it took; 0 if nothing was to be done."""
        delivery = replace(DELIVERY, **changes)
        deliverer = Deliverer(self.output, self.prepared, self.predictions, delivery)
        (outcome,) = deliverer.deliver([self.case], {"case_1": key})
        assert outcome.failure is None
        return outcome.seconds

    @property
    def row(self) -> dict[str, Any]:
        marker = self.output.marker("case_1")
        assert marker is not None
        return dict(marker.row)


@pytest.fixture
def desk(tmp_path: Path, prepared_case: PreparedCase) -> Desk:
    return Desk(tmp_path, prepared_case)


def test_right_stays_right_on_a_flipped_and_tilted_grid(prepared_case: PreparedCase) -> None:
    result = make_result(predict(prepared_case), prepared_case, DELIVERY, ("tilted",))
    native = prepared_case.placement.native
    assert result.anomaly_map.grid is native
    positions = np.indices(native.shape).reshape(3, -1).T @ native.affine[:3, :3].T
    working = (positions + native.affine[:3, 3]) @ (
        prepared_case.placement.working_from_native[:3, :3].T
    ) + prepared_case.placement.working_from_native[:3, 3]
    evidence = result.anomaly_map.data.reshape(-1)
    right, left = working[:, 0] > 1, (working[:, 0] < -1) & (evidence > 0)
    assert (evidence[right & (evidence > 0)] > 0.5).all()
    assert (evidence[left] < 0.5).all()
    assert left.any()
    assert np.array_equal(result.mask.data, result.anomaly_map.data >= 0.5)


def test_thresholds_lie_at_one_half(prepared_case: PreparedCase) -> None:
    result = make_result(predict(prepared_case), prepared_case, DELIVERY, ())
    assert (result.score, result.score_raw) == (0.5, 2.0)
    stricter = replace(DELIVERY, calibration=Calibration(9.0, 6.0, "stricter"))
    result = make_result(predict(prepared_case), prepared_case, stricter, ())
    assert result.score == pytest.approx(0.25)
    assert not result.mask.data.any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_count_along_the_axis_of_the_file(prepared_case: PreparedCase, axis: int) -> None:
    result = make_result(
        predict(prepared_case), prepared_case, replace(DELIVERY, slice_axis=axis), ()
    )
    assert result.slice_axis == prepared_case.placement.native.array_axis(axis)
    others = tuple({0, 1, 2} - {result.slice_axis})
    assert np.array_equal(result.slice_scores, result.anomaly_map.data.max(axis=others))


def test_a_method_may_score_slices_itself(prepared_case: PreparedCase) -> None:
    own = np.linspace(0.1, 5, prepared_case.brain.shape[2]).astype(np.float32)
    prediction = replace(predict(prepared_case), slice_scores=own)
    result = make_result(prediction, prepared_case, DELIVERY, ())
    shown = result.slice_scores[result.slice_scores > 0]
    assert np.all(np.diff(shown) > 0)
    assert shown[-1] > result.anomaly_map.data.max()


def test_the_row_of_a_case_is_complete(desk: Desk) -> None:
    desk.deliver()
    row = desk.row
    assert set(row) == set(PATIENT_COLUMNS)
    assert (row["score"], row["prediction"], row["threshold"]) == (0.5, 1, 0.5)
    assert row["p_value"] == 2 / 4
    assert (row["channels_used"], row["channels_missing"]) == ("T1", "FLAIR")
    assert (row["runtime_s"], row["device"], row["model_id"]) == (3.1, "cpu", "m")
    assert (row["status"], row["warnings"]) == ("ok", "")
    mask = read_volume(desk.output.mask_path("case_1"))
    assert row["anomalous_volume_mm3"] == pytest.approx(
        mask.data.sum() * mask.grid.voxel_mm3, abs=0.1
    )


def test_remarks_and_quality_control_make_a_warning(
    desk: Desk, prepared_case: PreparedCase
) -> None:
    record = PreparedRecord("k", ("T1", "FLAIR"), ("half a brain",), {})
    desk.prepared.write(prepared_case, record)
    desk.deliver(remarks={"case_1": ("odd spacing",), "other": ("not this one",)})
    assert desk.row["status"] == "warning"
    assert desk.row["warnings"] == "odd spacing; half a brain"


def test_without_healthy_scores_there_is_no_p_value(desk: Desk) -> None:
    desk.deliver(calibration=Calibration(0.5, 2.0, "a rule"))
    assert desk.row["p_value"] is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"key": "other"}, "prediction"),
        ({"calibration": Calibration(0.6, 2.0, "other")}, "settings"),
        ({"minimum_mm3": 7.0}, "settings"),
        ({"slice_axis": 1}, "settings"),
        ({"model_id": "other"}, "settings"),
        ({"remarks": {"case_1": ("odd spacing",)}}, "warnings"),
    ],
)
def test_what_changed_is_delivered_again_and_the_log_says_so(
    desk: Desk, change: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "brainad"):
        assert desk.deliver() > 0
        assert desk.deliver() == 0
        assert desk.deliver(seconds={}, device="cuda:0") == 0
        assert caplog.text == ""
        assert desk.deliver(**change) > 0
    assert f"1 cases are delivered again, e.g. case_1: {reason} changed" in caplog.text


def test_a_deleted_file_comes_back(desk: Desk) -> None:
    desk.deliver()
    for path in (desk.output.mask_path("case_1"), desk.output.map_path("case_1")):
        content = path.read_bytes()
        path.unlink()
        assert desk.deliver() > 0
        assert path.read_bytes() == content


def test_a_failed_case_has_a_row_and_a_line_in_the_list_of_failures() -> None:
    failure = Failure("check", "DataError", "too dark", "a.nii", "scan again")
    marker = failure_marker("a", failure, ["a.nii", "b.nii"])
    assert marker.row == {"case_id": "a", "warnings": "too dark", "status": "failed"}
    assert marker.failure is not None
    assert tuple(marker.failure) == FAILURE_COLUMNS
    assert marker.failure["message"] == "too dark (a.nii)"
    assert (marker.failure["what_to_do"], marker.failure["files"]) == ("scan again", "a.nii; b.nii")
