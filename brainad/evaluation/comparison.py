"""Which of several models is best, and how sure that is: a paired bootstrap over patients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from brainad.evaluation.metrics import auroc, average_precision


@dataclass(frozen=True)
class JudgedPatient:
    """What a model said about a patient whose truth is known.

    Args:
        patient_id: the same in all models that are compared.
        is_unhealthy: the truth.
        score: calibrated score, higher is more anomalous.
        dice: mean over the patient's cases with a lesion; NaN without.
    """

    patient_id: str
    is_unhealthy: bool
    score: float
    dice: float


@dataclass(frozen=True)
class Ranked:
    """How a model compares.

    Args:
        name: of the model.
        value: of the metric over all patients.
        low: lower end of the 95 % interval over patients.
        high: upper end.
        best_share: share of the resamples in which no other model was better.
        patients: how many it was measured on.
    """

    name: str
    value: float
    low: float
    high: float
    best_share: float
    patients: int


def _auroc(patients: Sequence[JudgedPatient]) -> float:
    return auroc(*_truth_and_score(patients))


def _average_precision(patients: Sequence[JudgedPatient]) -> float:
    return average_precision(*_truth_and_score(patients))


def _dice(patients: Sequence[JudgedPatient]) -> float:
    defined = [patient.dice for patient in patients if not math.isnan(patient.dice)]
    return math.fsum(defined) / len(defined) if defined else math.nan


def _truth_and_score(
    patients: Sequence[JudgedPatient],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    truth = np.array([patient.is_unhealthy for patient in patients], dtype=bool)
    return truth, np.array([patient.score for patient in patients])


METRICS: Mapping[str, Callable[[Sequence[JudgedPatient]], float]] = MappingProxyType(
    {
        "patient_auroc": _auroc,
        "patient_auprc": _average_precision,
        "dice": _dice,
    }
)


def rank(
    models: Mapping[str, Sequence[JudgedPatient]], metric: str, seed: int, resamples: int
) -> list[Ranked]:
    """Rank models that judged the same patients, best first; an undefined metric comes last.

    All models see the same resamples, so that an easy or hard patient counts for all. Healthy
    and unhealthy patients are drawn separately, as in `bootstrap_ci95`.

    Args:
        models: name to what it said.
        metric: one of `METRICS`.
        seed: same seed, same intervals.
        resamples: number of resamples.

    Raises:
        ValueError: the models judged different patients.
    """
    if not models:
        return []
    ordered = {
        name: sorted(patients, key=lambda patient: patient.patient_id)
        for name, patients in models.items()
    }
    known = [[(p.patient_id, p.is_unhealthy) for p in each] for each in ordered.values()]
    if any(each != known[0] for each in known):
        raise ValueError("models were measured on different patients")
    measure = METRICS[metric]
    draws = np.array(
        [
            [measure([patients[i] for i in drawn]) for patients in ordered.values()]
            for drawn in _resamples([unhealthy for _, unhealthy in known[0]], seed, resamples)
        ]
    )
    best = draws == np.nanmax(draws, axis=1, keepdims=True, initial=-math.inf)
    ranked = [
        Ranked(
            name,
            measure(patients),
            *_interval(draws[:, number]),
            float(best[:, number].mean()),
            len(patients),
        )
        for number, (name, patients) in enumerate(ordered.items())
    ]
    return sorted(
        ranked, key=lambda each: -math.inf if math.isnan(each.value) else each.value, reverse=True
    )


def _resamples(unhealthy: Sequence[bool], seed: int, count: int) -> list[NDArray[np.intp]]:
    rng = np.random.default_rng(seed)
    truth = np.array(unhealthy, dtype=bool)
    groups = [np.flatnonzero(truth), np.flatnonzero(~truth)]
    return [
        np.concatenate([rng.choice(group, group.size) for group in groups if group.size])
        for _ in range(count)
    ]


def _interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    defined = draws[~np.isnan(draws)]
    if not defined.size:
        return math.nan, math.nan
    low, high = np.quantile(defined, (0.025, 0.975))
    return float(low), float(high)
