"""One score per case from its token scores."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

PatientRule = Literal["max", "top5", "q99"]


def patient_score(scores: NDArray[np.floating[Any]], rule: PatientRule) -> float:
    """Summarise the token scores of one case.

    Args:
        scores: (N,) fused over layers, at least one.
        rule: ``max`` (published), ``top5`` (mean of the five largest) or ``q99`` (99 % quantile).
    """
    match rule:
        case "max":
            return float(scores.max())
        case "top5":
            return float(np.sort(scores)[-5:].mean())
        case "q99":
            return float(np.quantile(scores, 0.99))


def smooth_scores(
    scores: NDArray[np.floating[Any]],
    descriptors: NDArray[np.floating[Any]],
    neighbours: tuple[int, ...],
) -> NDArray[np.float64]:
    """Average patient scores over similar cases (MuSc's RsCIN; not part of CoDeGraph3D).

    Scores are brought to 0..1; for each number k a case becomes the mean of the k cases most
    similar to it, itself included, weighted by similarity; the numbers are averaged.

    Args:
        scores: (B,) one per case, not all equal.
        descriptors: (B, E) unit vectors that describe the cases.
        neighbours: numbers k, at most B; scores are returned unchanged if 0 is among them.

    Returns:
        (B,) float64.
    """
    if 0 in neighbours:
        return scores.astype(np.float64)
    similarity = descriptors.astype(np.float64) @ descriptors.T
    unit = (scores - scores.min()) / (scores.max() - scores.min())
    smoothed = np.zeros(len(scores))
    for count in neighbours:
        least = np.sort(similarity, axis=1)[:, -count, None]
        weights = np.where(similarity >= least, similarity, 0)
        smoothed += (weights @ unit) / weights.sum(1)
    return smoothed / len(neighbours)
