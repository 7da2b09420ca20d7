import json
import math

import pytest

from brainad.errors import UsageError
from brainad.summary import CaseMetrics, Summary


def make_summary() -> Summary:
    return Summary(
        cases=(
            CaseMetrics("a", {"Dice": 0.5, "TP": 3}, "a.nii.gz", "truth/a.nii.gz"),
            CaseMetrics("b", {"Dice": math.nan, "TP": 0}, None, None),
        ),
        foreground_mean={"Dice": 0.5, "TP": 1.5},
        n_cases={"expected": 2, "evaluated": 1, "missing": 1, "failed": 0},
        patient_level={"AUROC": math.nan, "threshold": 0.5},
        slice_level={"AUROC": 0.75},
        pixel_level={"AUPRO": math.inf},
        by_group={"healthy": {"FP_mm3": math.nan}, "unhealthy": {"Dice": 0.5}},
        threshold_source="calibration_set",
        patient_ci95={"F1": (0.25, math.nan)},
    )


def test_layout_is_the_one_of_label_based_tools_with_our_additions() -> None:
    table = make_summary().to_dict()
    assert table["foreground_mean"] == table["mean"]["1"] == {"Dice": 0.5, "TP": 1.5}
    assert table["metric_per_case"][0] == {
        "case_id": "a",
        "metrics": {"1": {"Dice": 0.5, "TP": 3}},
        "prediction_file": "a.nii.gz",
        "reference_file": "truth/a.nii.gz",
    }
    assert table["patient_level"]["ci95"] == {"F1": [0.25, None]}
    assert table["threshold_source"] == "calibration_set"


def test_undefined_numbers_become_null_and_the_table_is_strict_json() -> None:
    table = make_summary().to_dict()
    assert table["metric_per_case"][1]["metrics"]["1"]["Dice"] is None
    assert table["patient_level"]["AUROC"] is None
    assert table["pixel_level"]["AUPRO"] is None
    assert table["by_group"]["healthy"]["FP_mm3"] is None
    assert json.loads(json.dumps(table, allow_nan=False)) == table


def test_a_summary_survives_json() -> None:
    table = json.loads(json.dumps(make_summary().to_dict(), allow_nan=False))
    summary = Summary.from_dict(table)
    assert summary.to_dict() == table
    assert math.isnan(summary.cases[1].metrics["Dice"])
    assert summary.cases[1].prediction_file is None
    assert summary.patient_ci95["F1"][0] == 0.25
    assert isinstance(summary.cases[0].metrics["TP"], int)


@pytest.mark.parametrize("key", ["metric_per_case", "patient_level", "n_cases", "by_group"])
def test_a_table_without_a_key_is_refused_by_name(key: str) -> None:
    table = make_summary().to_dict()
    del table[key]
    with pytest.raises(UsageError, match="not a summary"):
        Summary.from_dict(table)


def test_an_unknown_threshold_source_is_refused() -> None:
    table = {**make_summary().to_dict(), "threshold_source": "guess"}
    with pytest.raises(UsageError, match="guess"):
        Summary.from_dict(table)
