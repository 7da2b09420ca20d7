from __future__ import annotations

import math

import numpy as np
import pytest

from brainad.evaluation.comparison import METRICS, JudgedPatient, rank


def cohort(separation: float, dice: float, seed: int, patients: int = 40) -> list[JudgedPatient]:
    rng = np.random.default_rng(seed)
    judged = []
    for number in range(patients):
        ill = number % 2 == 0
        score = float(rng.normal(separation if ill else 0.0))
        judged.append(JudgedPatient(f"p{number}", ill, score, dice if ill else math.nan))
    return judged


def test_the_better_model_comes_first_with_its_interval() -> None:
    models = {"weak": cohort(0.5, 0.3, 1), "strong": cohort(3.0, 0.6, 2)}
    first, second = rank(models, "patient_auroc", seed=0, resamples=200)
    assert (first.name, second.name) == ("strong", "weak")
    for each in (first, second):
        assert each.low <= each.value <= each.high
        assert each.value == METRICS["patient_auroc"](models[each.name])
        assert each.patients == 40
    assert first.best_share > 0.95
    assert rank(models, "patient_auroc", 0, 200) == [first, second]


def test_patients_are_paired_whatever_their_order() -> None:
    models = {"one": cohort(1.0, 0.3, 1), "same": cohort(1.0, 0.3, 1)[::-1]}
    one, same = rank(models, "patient_auroc", seed=0, resamples=50)
    assert (one.value, one.low, one.high) == (same.value, same.low, same.high)
    assert one.best_share == same.best_share == 1.0


def test_dice_is_a_mean_over_patients_with_a_lesion() -> None:
    models = {"a": cohort(1.0, 0.3, 1), "b": cohort(0.0, 0.7, 2)}
    best = rank(models, "dice", seed=0, resamples=20)[0]
    assert best.name == "b"
    assert best.value == pytest.approx(0.7)
    assert (best.low, best.high) == pytest.approx((0.7, 0.7))


def test_a_metric_that_is_undefined_ranks_last_and_is_best_in_no_resample() -> None:
    healthy = [JudgedPatient(f"p{n}", False, 0.1 * n, math.nan) for n in range(4)]
    found = rank({"a": healthy, "b": healthy}, "patient_auroc", seed=0, resamples=20)
    assert all(math.isnan(each.value) and math.isnan(each.low) for each in found)
    assert [each.best_share for each in found] == [0.0, 0.0]


def test_different_patients_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="different patients"):
        rank({"a": cohort(1, 0.5, 1), "b": cohort(1, 0.5, 1)[:-1]}, "dice", 0, 10)
    assert rank({}, "dice", 0, 10) == []
