"""Thresholds from held-out healthy cases or, where nobody knows a label, from a whole cohort.

Both rules see a case as two numbers: its patient score and a high quantile of its map. If the
quantile is at level 1 − v, then "the quantile reaches the threshold" means "about a share v of
the brain or more is flagged".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.errors import UsageError
from brainad.prediction import Calibration

# Makes the median absolute deviation estimate the standard deviation of normal data.
_MAD_TO_DEVIATION = 1.4826
# Keeps the threshold away from the very score it is derived from, float32 rounding included.
_MARGIN = 1 + 1e-5
# A cohort of near-identical cases has no spread; differences below this share are noise.
_SMALLEST_RELATIVE_DEVIATION = 0.01
_SMALLEST_THRESHOLD = 1e-30


@dataclass(frozen=True)
class CaseStatistics:
    """What calibration needs to know about one predicted case.

    Args:
        score: raw patient score.
        map_quantile: high quantile of the raw map inside the brain.
    """

    score: float
    map_quantile: float


def case_statistics(
    anomaly_map: NDArray[Any],
    brain: NDArray[np.bool_],
    score: float,
    voxel_share: float = 0.001,
) -> CaseStatistics:
    """Reduce a prediction to the numbers that calibration uses.

    Args:
        anomaly_map: (x, y, z) raw map.
        brain: (x, y, z) bool, not empty.
        score: raw patient score.
        voxel_share: share of the brain, 0…1, that may be flagged in a healthy case; 0 takes the
            maximum of the map, so that a single flagged voxel counts.
    """
    return CaseStatistics(float(score), float(np.quantile(anomaly_map[brain], 1 - voxel_share)))


def conformal_threshold(healthy: Sequence[float], fpr: float) -> float:
    """Return a threshold that a further healthy case reaches with probability at most `fpr`.

    The ⌈(n + 1)(1 − fpr)⌉-th smallest of n held-out values (split conformal prediction;
    Papadopoulos et al., ECML 2002), raised by a hair so that this value itself stays below.
    With fewer than 1/fpr − 1 cases the largest value is used and the guarantee is 1/(n + 1).

    Args:
        healthy: one value per held-out healthy case, higher is more anomalous.
        fpr: false positive rate, 0 < fpr < 1.

    Raises:
        ValueError: the rate is out of range.
        UsageError: there is no healthy case.
    """
    if not 0 < fpr < 1:
        raise ValueError(f"fpr must lie between 0 and 1, not {fpr}")
    if not healthy:
        raise UsageError(
            "calibration needs held-out healthy cases and found none",
            fix="label some cases as healthy, or use the cohort rule",
        )
    ordered = sorted(healthy)
    # 150 * (1 - 0.18) is a hair above 123 in binary and must not become 124.
    rank = math.ceil(round((len(ordered) + 1) * (1 - fpr), 9))
    return max(ordered[min(rank, len(ordered)) - 1] * _MARGIN, _SMALLEST_THRESHOLD)


def conformal_p_value(score: float, healthy: Sequence[float]) -> float:
    """Return (1 + number of healthy scores ≥ score) / (n + 1): small means unusual.

    For a healthy case that is exchangeable with the n held-out ones, the probability of a value
    of at most α is at most α.
    """
    return (1 + sum(other >= score for other in healthy)) / (len(healthy) + 1)


def calibrate_on_healthy(cases: Sequence[CaseStatistics], fpr: float = 0.05) -> Calibration:
    """Choose both thresholds so that at most a share `fpr` of healthy cases reaches each.

    Args:
        cases: held-out healthy cases, seen by no fit.
        fpr: share of healthy cases that may be called unhealthy, and, separately, the share that
            may have more of the brain flagged than the statistics tolerate.

    Raises:
        ValueError: the rate is out of range.
        UsageError: there is no healthy case.
    """
    scores = sorted(case.score for case in cases)
    return Calibration(
        map_threshold=conformal_threshold([case.map_quantile for case in cases], fpr),
        patient_threshold=conformal_threshold(scores, fpr),
        source=f"{len(cases)} held-out healthy cases at a false positive rate of {fpr:g}",
        healthy_scores=tuple(scores),
    )


def robust_threshold(values: Sequence[float], deviations: float) -> float:
    """Return median + deviations · 1.4826 · MAD (Leys et al., J. Exp. Soc. Psychol. 2013).

    Holds while fewer than half of the values are anomalous. The spread is taken to be at least
    1 % of the median.

    Raises:
        UsageError: there is no value.
    """
    if not values:
        raise UsageError("no predicted case to derive thresholds from", fix="see failed_cases.csv")
    median = float(np.median(values))
    spread = _MAD_TO_DEVIATION * float(np.median(np.abs(np.asarray(values) - median)))
    spread = max(spread, _SMALLEST_RELATIVE_DEVIATION * abs(median))
    return max(median + deviations * spread, _SMALLEST_THRESHOLD)


def calibrate_on_cohort(cases: Sequence[CaseStatistics], deviations: float = 2.5) -> Calibration:
    """Choose thresholds from unlabelled cases: flag what stands out from the cohort's majority.

    No error rate is promised; at most a handful of a healthy cohort is flagged, and a cohort
    in which most cases are ill hides them.

    Args:
        cases: all predicted cases of the cohort.
        deviations: robust standard deviations above the median.

    Raises:
        UsageError: there is no case.
    """
    return Calibration(
        map_threshold=robust_threshold([case.map_quantile for case in cases], deviations),
        patient_threshold=robust_threshold([case.score for case in cases], deviations),
        source=f"median + {deviations:g} robust deviations of a cohort of {len(cases)} cases",
    )
