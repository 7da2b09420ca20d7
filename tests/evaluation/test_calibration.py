import math

import numpy as np
import pytest

from brainad.errors import UsageError
from brainad.evaluation.calibration import (
    CaseStatistics,
    calibrate_on_cohort,
    calibrate_on_healthy,
    case_statistics,
    conformal_p_value,
    conformal_threshold,
    robust_threshold,
)


def test_the_threshold_is_the_conformal_rank_and_just_above_it() -> None:
    healthy = [float(value) for value in range(1, 20)]
    assert conformal_threshold(healthy, 0.05) == pytest.approx(19, rel=2e-5)
    assert conformal_threshold(healthy, 0.05) > 19
    assert conformal_threshold(healthy, 0.5) == pytest.approx(10, rel=2e-5)
    assert conformal_threshold(healthy[::-1], 0.5) == conformal_threshold(healthy, 0.5)


@pytest.mark.parametrize(("n", "fpr", "rank"), [(20, 0.05, 20), (39, 0.05, 38), (149, 0.18, 123)])
def test_the_rank_is_exact(n: int, fpr: float, rank: int) -> None:
    healthy = [float(value) for value in range(1, n + 1)]
    assert conformal_threshold(healthy, fpr) == pytest.approx(rank, rel=2e-5)


def test_too_few_cases_fall_back_to_the_largest() -> None:
    assert conformal_threshold([1.0, 3.0, 2.0], 0.05) == pytest.approx(3, rel=2e-5)


def test_a_healthy_case_reaches_the_threshold_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    false_positives = [
        rng.gamma(3) >= conformal_threshold(rng.gamma(3, size=19).tolist(), 0.1)
        for _ in range(4000)
    ]
    # 4000 trials at 10 %: three standard errors are 1.4 %.
    assert abs(np.mean(false_positives) - 0.1) < 0.015


@pytest.mark.parametrize("fpr", [0.0, 1.0, -0.1])
def test_an_impossible_rate_is_refused(fpr: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        conformal_threshold([1.0], fpr)


def test_no_healthy_case_is_an_error_with_a_cure() -> None:
    with pytest.raises(UsageError, match="label some cases as healthy"):
        calibrate_on_healthy([])


def test_p_values_count_the_healthy_cases_at_or_above() -> None:
    healthy = [1.0, 2.0, 2.0, 3.0]
    assert conformal_p_value(5.0, healthy) == 1 / 5
    assert conformal_p_value(2.0, healthy) == 4 / 5
    assert conformal_p_value(0.0, healthy) == 1
    assert conformal_p_value(1.0, []) == 1


def test_statistics_look_only_inside_the_brain() -> None:
    anomaly_map = np.zeros((10, 10, 10), dtype=np.float32)
    brain = np.zeros(anomaly_map.shape, dtype=bool)
    brain[0, 0] = True
    anomaly_map[0, 0] = np.arange(1, 11)
    anomaly_map[5, 5, 5] = 100
    assert case_statistics(anomaly_map, brain, 7, voxel_share=0) == CaseStatistics(7.0, 10.0)
    assert case_statistics(anomaly_map, brain, 7, voxel_share=1).map_quantile == 1
    assert case_statistics(anomaly_map, brain, 7, voxel_share=0.5).map_quantile == 5.5


def test_healthy_calibration_treats_map_and_score_apart() -> None:
    cases = [CaseStatistics(score=20.0 - i, map_quantile=float(i)) for i in range(1, 20)]
    calibration = calibrate_on_healthy(cases, fpr=0.5)
    assert calibration.patient_threshold == pytest.approx(10, rel=2e-5)
    assert calibration.map_threshold == pytest.approx(10, rel=2e-5)
    assert calibration.healthy_scores == tuple(float(i) for i in range(1, 20))
    assert "19 held-out healthy cases" in calibration.source
    assert "0.5" in calibration.source


def test_the_healthy_case_that_sets_the_threshold_is_not_called_anomalous() -> None:
    for value in (1e-6, 0.3, 1.0, 977.0):
        calibration = calibrate_on_healthy([CaseStatistics(value, value)])
        evidence = np.array([value], dtype=np.float32)
        score = calibration.probability_like(evidence, calibration.patient_threshold)
        assert 0.4999 < score[0] < 0.5


def test_the_cohort_rule_is_median_plus_robust_deviations() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 100.0]
    assert robust_threshold(values, 2.0) == pytest.approx(3 + 2 * 1.4826 * 1)


def test_the_cohort_rule_ignores_how_far_the_outliers_are() -> None:
    ordinary = [CaseStatistics(1 + 0.1 * i, 2 + 0.1 * i) for i in range(6)]
    near = calibrate_on_cohort([*ordinary, CaseStatistics(5, 5), CaseStatistics(6, 6)])
    far = calibrate_on_cohort([*ordinary, CaseStatistics(500, 500), CaseStatistics(600, 600)])
    assert (near.map_threshold, near.patient_threshold) == (
        far.map_threshold,
        far.patient_threshold,
    )
    assert all(case.score < near.patient_threshold for case in ordinary)
    assert near.patient_threshold < 5
    assert "cohort of 8 cases" in near.source


def test_a_cohort_without_spread_gets_a_margin() -> None:
    assert robust_threshold([2.0, 2.0, 2.0], 2.5) == pytest.approx(2.05)
    assert robust_threshold([4.0], 2.5) == pytest.approx(4.1)


def test_thresholds_are_positive_even_for_empty_maps() -> None:
    silent = [CaseStatistics(0.0, 0.0)] * 3
    for calibration in (calibrate_on_cohort(silent), calibrate_on_healthy(silent)):
        assert 0 < calibration.map_threshold < 1e-20
        assert math.isfinite(calibration.patient_threshold)
        zeros = calibration.probability_like(np.zeros(2, np.float32), calibration.map_threshold)
        assert zeros.tolist() == [0, 0]


def test_an_empty_cohort_is_an_error() -> None:
    with pytest.raises(UsageError, match="no predicted case"):
        calibrate_on_cohort([])
