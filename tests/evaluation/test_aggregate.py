import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.case import Diagnosis
from brainad.evaluation.aggregate import Delivered, Evaluation, Truth

SHAPE = (6, 7, 8)


def lesion_at(*blocks: tuple[slice, slice, slice]) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, dtype=bool)
    for block in blocks:
        mask[block] = True
    return mask


CUBE = (slice(0, 2), slice(0, 2), slice(0, 2))
FAR_VOXEL = (slice(5, 6), slice(6, 7), slice(7, 8))


def truth(
    case_id: str,
    lesion: NDArray[np.bool_] | None,
    label: Diagnosis = "unknown",
    patient: str | None = None,
) -> Truth:
    return Truth(case_id, patient or case_id, label, lesion, voxel_mm3=2.0)


def delivered(mask: NDArray[np.bool_], score: float) -> Delivered:
    anomaly_map = np.where(mask, 0.75, 0.25).astype(np.float32)
    return Delivered(mask, score, anomaly_map, anomaly_map.max(axis=(0, 1)), "case.nii.gz")


def start() -> Evaluation:
    return Evaluation("calibration_set", resamples=20)


def test_a_perfect_cohort_is_perfect() -> None:
    evaluation, lesion, empty = start(), lesion_at(CUBE), lesion_at()
    evaluation.add(truth("ill", lesion), delivered(lesion, 0.9))
    evaluation.add(truth("well", None, "healthy"), delivered(empty, 0.1))
    summary = evaluation.summary()
    assert summary.n_cases == {"expected": 2, "evaluated": 2, "missing": 0, "failed": 0}
    for name in ("AUROC", "AUPRC", "sensitivity", "specificity", "F1"):
        assert summary.patient_level[name] == 1
        assert summary.slice_level[name] == 1
        assert summary.patient_ci95[name] == (1, 1)
    assert summary.patient_level["n_healthy"] == summary.patient_level["n_unhealthy"] == 1
    assert summary.slice_level["n_slices"] == 16
    assert summary.slice_level["n_anomalous"] == 2
    assert summary.pixel_level["AUROC"] == summary.pixel_level["best_dice"] == 1
    assert summary.by_group["unhealthy"]["Dice"] == 1
    assert summary.by_group["healthy"]["share_with_false_positives"] == 0
    json.dumps(summary.to_dict(), allow_nan=False)


def test_case_metrics_are_exact_and_an_empty_pair_is_left_out_of_the_mean() -> None:
    evaluation, lesion = start(), lesion_at(CUBE)
    found = lesion_at((slice(0, 1), slice(0, 2), slice(0, 2)), FAR_VOXEL)
    evaluation.add(truth("ill", lesion), delivered(found, 0.9))
    evaluation.add(truth("well", lesion_at()), delivered(lesion_at(), 0.1))
    summary = evaluation.summary()
    assert summary.cases[0].metrics == {
        "Dice": 8 / 13,
        "IoU": 4 / 9,
        "TP": 4,
        "FP": 1,
        "FN": 4,
        "TN": 336 - 9,
        "n_pred": 5,
        "n_ref": 8,
    }
    assert math.isnan(summary.cases[1].metrics["Dice"])
    assert summary.foreground_mean["Dice"] == 8 / 13
    assert summary.foreground_mean["n_pred"] == 2.5


def test_groups_report_what_matters_to_each() -> None:
    evaluation = start()
    evaluation.add(truth("a", None, "healthy"), delivered(lesion_at(CUBE), 0.2))
    evaluation.add(truth("b", None, "healthy"), delivered(lesion_at(), 0.2))
    both = lesion_at(CUBE, FAR_VOXEL)
    evaluation.add(truth("c", both), delivered(lesion_at(CUBE), 0.9))
    groups = evaluation.summary().by_group
    assert groups["healthy"] == {
        "n_cases": 2,
        "FP_voxels": 4,
        "FP_mm3": 8,
        "share_with_false_positives": 0.5,
    }
    assert groups["unhealthy"]["n_lesions"] == 2
    assert groups["unhealthy"]["lesion_sensitivity"] == 0.5
    assert groups["unhealthy"]["lesion_sensitivity_below_100_mm3"] == 0.5
    assert math.isnan(groups["unhealthy"]["lesion_sensitivity_from_1000_mm3"])


def test_a_missing_ill_case_counts_as_wrong_everywhere() -> None:
    evaluation, lesion = start(), lesion_at(CUBE)
    evaluation.add(truth("found", lesion), delivered(lesion, 0.9))
    evaluation.add(truth("well", None, "healthy"), delivered(lesion_at(), 0.1))
    evaluation.add_missing(truth("lost", lesion), is_reported=False)
    summary = evaluation.summary()
    assert summary.n_cases == {"expected": 3, "evaluated": 2, "missing": 1, "failed": 0}
    assert summary.patient_level["sensitivity"] == summary.patient_level["AUROC"] == 0.5
    assert summary.slice_level["sensitivity"] == 0.5
    assert summary.pixel_level["AUROC"] == 0.5
    assert summary.pixel_level["oracle_dice_mean"] == 0.5
    assert summary.by_group["unhealthy"]["Dice"] == 0.5
    assert summary.by_group["unhealthy"]["lesion_sensitivity"] == 0.5
    lost = summary.cases[2]
    assert (lost.case_id, lost.prediction_file) == ("lost", None)
    assert (lost.metrics["Dice"], lost.metrics["FN"]) == (0, 8)
    assert math.isnan(lost.metrics["FP"])


def test_a_failed_healthy_case_counts_as_a_false_alarm() -> None:
    evaluation, lesion = start(), lesion_at(CUBE)
    evaluation.add(truth("found", lesion), delivered(lesion, 0.9))
    evaluation.add(truth("well", None, "healthy"), delivered(lesion_at(), 0.1))
    evaluation.add_missing(truth("broken", None, "healthy"), is_reported=True)
    summary = evaluation.summary()
    assert summary.n_cases["failed"] == 1
    assert summary.patient_level["specificity"] == summary.patient_level["AUROC"] == 0.5
    assert summary.by_group["healthy"]["share_with_false_positives"] == 0.5
    assert summary.by_group["healthy"]["FP_voxels"] == 0
    json.dumps(summary.to_dict(), allow_nan=False)


def test_a_cohort_where_everything_failed_still_has_a_summary() -> None:
    evaluation = start()
    evaluation.add_missing(truth("a", lesion_at(CUBE)), is_reported=True)
    evaluation.add_missing(truth("b", None, "healthy"), is_reported=True)
    evaluation.add_missing(truth("c", None), is_reported=True)
    summary = evaluation.summary()
    assert summary.patient_level["AUROC"] == 0
    assert summary.foreground_mean["Dice"] == 0
    json.dumps(summary.to_dict(), allow_nan=False)


def test_an_all_healthy_cohort_has_specificity_and_no_areas() -> None:
    evaluation = start()
    for name, score in (("a", 0.1), ("b", 0.7)):
        evaluation.add(truth(name, None, "healthy"), delivered(lesion_at(), score))
    summary = evaluation.summary()
    assert summary.patient_level["specificity"] == 0.5
    assert summary.patient_ci95 == {}
    for undefined in ("AUROC", "AUPRC", "sensitivity"):
        assert math.isnan(summary.patient_level[undefined])
    assert math.isnan(summary.pixel_level["best_dice"])
    assert summary.to_dict()["by_group"]["unhealthy"]["Dice"] is None


def test_cases_of_one_patient_are_one_patient() -> None:
    evaluation, lesion = start(), lesion_at(CUBE)
    evaluation.add(truth("p1_first", lesion, patient="p1"), delivered(lesion, 0.4))
    evaluation.add(truth("p1_second", lesion_at(), patient="p1"), delivered(lesion_at(), 0.6))
    evaluation.add(truth("p1_third", lesion_at(), patient="p1"), delivered(lesion_at(), 0.3))
    evaluation.add(truth("p2", lesion_at()), delivered(lesion_at(), 0.5))
    level = evaluation.summary().patient_level
    assert (level["n_unhealthy"], level["n_healthy"]) == (1, 1)
    assert (level["sensitivity"], level["specificity"], level["AUROC"]) == (1, 0, 1)


def test_a_case_that_nobody_labelled_is_kept_out_of_patient_and_voxel_metrics() -> None:
    evaluation = start()
    evaluation.add(truth("new", None), delivered(lesion_at(CUBE), 0.9))
    summary = evaluation.summary()
    assert summary.n_cases["evaluated"] == 1
    assert summary.patient_level["n_unhealthy"] == summary.patient_level["n_healthy"] == 0
    assert summary.pixel_level["n_cases"] == 0
    assert summary.cases[0].metrics["n_pred"] == 8
    assert math.isnan(summary.cases[0].metrics["Dice"])


def test_masks_alone_can_be_evaluated() -> None:
    evaluation, lesion = start(), lesion_at(CUBE)
    evaluation.add(truth("ill", lesion), Delivered(lesion, score=0.9))
    summary = evaluation.summary()
    assert summary.by_group["unhealthy"]["Dice"] == 1
    assert summary.pixel_level["n_cases"] == 0
    assert math.isnan(summary.slice_level["AUROC"])


def test_slices_outside_the_brain_do_not_count() -> None:
    evaluation, lesion = start(), lesion_at(CUBE)
    scores = np.array([0.9, 0.2, 0.6, 0.1, 0, 0, 0, 0], dtype=np.float32)
    evaluation.add(truth("ill", lesion), Delivered(lesion, 0.9, slice_scores=scores))
    level = evaluation.summary().slice_level
    assert (level["n_slices"], level["n_anomalous"]) == (4, 2)
    assert (level["sensitivity"], level["specificity"], level["AUROC"]) == (0.5, 0.5, 0.75)


def test_a_lesion_that_the_map_calls_background_still_counts_as_brain() -> None:
    evaluation, lesion = start(), lesion_at(CUBE)
    anomaly_map = np.where(lesion, 0, 0.25).astype(np.float32)
    evaluation.add(truth("ill", lesion), Delivered(lesion, 0.9, anomaly_map))
    assert evaluation.summary().pixel_level["AUROC_brain"] == 0


def test_a_missing_case_ranks_on_the_wrong_side_of_every_possible_score() -> None:
    evaluation, lesion = start(), lesion_at(CUBE)
    evaluation.add(truth("ill", lesion), delivered(lesion, 1.0))
    evaluation.add(truth("well", None, "healthy"), delivered(lesion_at(), 0.0))
    evaluation.add_missing(truth("lost_ill", lesion), is_reported=False)
    evaluation.add_missing(truth("lost_well", None, "healthy"), is_reported=False)
    assert evaluation.summary().patient_level["AUROC"] == 0.25


def test_a_prediction_on_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        start().add(truth("ill", lesion_at(CUBE)), delivered(np.zeros((2, 2, 2), bool), 0.5))


def test_dice_over_slices_tells_lesion_slices_from_all_slices() -> None:
    evaluation, lesion = start(), lesion_at(CUBE)
    evaluation.add(truth("ill", lesion), delivered(lesion_at(), 0.4))
    evaluation.add(truth("well", None, "healthy"), delivered(lesion_at(), 0.1))
    evaluation.add_missing(truth("lost", lesion), is_reported=True)
    level = evaluation.summary().slice_level
    assert level["Dice_lesion_slices"] == level["Dice_pooled"] == 0
    # 8 slices of either case are there, 2 of the lost one; 2 of the 18 and 2 more show a lesion.
    assert level["Dice_all_slices"] == level["Dice_all_slices_if_nothing_is_found"] == 14 / 18
