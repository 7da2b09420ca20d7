"""Removing shared anomalies from the references (CoDeGraph, steps 7 to 9)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainad.methods.codegraph3d.cohort import CohortTokens
from brainad.methods.codegraph3d.graph import GraphSettings
from brainad.methods.codegraph3d.matching import reference_distances
from brainad.methods.codegraph3d.mutual_score import mutual_scores

# Squared distances are differences of squared lengths, of which float32 keeps seven digits;
# between near duplicates, the case of a shared anomaly, little of the difference is left.
_SQUARED_ERROR = 1e-5


@dataclass(frozen=True, eq=False)
class CommunityFilter:
    """What is filtered from one flagged community.

    Args:
        dependency: (T,) dependency ratio of every token; NaN where it has no meaning.
        threshold: ratio above which a token of the community is filtered.
        filtered: (T,) bool; nothing if the community is a domain.
        share: share of the community's tokens above the threshold.
        domain: the community shares most of its tissue, as volumes of one scanner do.
    """

    dependency: NDArray[np.float64]
    threshold: float
    filtered: NDArray[np.bool_]
    share: float
    domain: bool


def dependency_ratios(
    table: NDArray[np.float32], members: NDArray[np.bool_], ranks: tuple[int, int]
) -> NDArray[np.float64]:
    """Measure how much a token's score rises when a community is left out (step 7).

    Args:
        table: (T, B) distances.
        members: (B,) bool, the volumes left out.
        ranks: of the mutual score.

    Returns:
        (T,) float64; NaN if no other volume is left.
    """
    without = mutual_scores(np.where(members, np.float32(np.inf), table), ranks)
    ratios: NDArray[np.float64] = without / np.maximum(mutual_scores(table, ranks), 1e-12)
    return ratios


def filter_community(
    table: NDArray[np.float32],
    own: NDArray[np.int64],
    members: NDArray[np.bool_],
    ranks: tuple[int, int],
    settings: GraphSettings,
) -> CommunityFilter:
    """Choose a community's tokens that owe their low score to each other (steps 7 and 8).

    Args:
        table: (T, B) distances.
        own: (T,) volume of each token.
        members: (B,) bool, the flagged community; at most half of the volumes.
        ranks: of the mutual score.
        settings: quantile of the null sample and the guard.
    """
    inside = members[own]
    dependency = dependency_ratios(table, members, ranks)
    null = dependency[~inside]
    null = null[np.isfinite(null)]
    threshold = float(np.quantile(null, settings.dependency_quantile)) if len(null) else np.inf
    dependent = inside & (dependency > threshold)
    share = float(dependent.sum() / inside.sum())
    domain = share > settings.max_filtered_share
    filtered = np.zeros_like(dependent) if domain else dependent
    return CommunityFilter(dependency, threshold, filtered, share, domain)


def distances_without(
    table: NDArray[np.float32],
    queries: CohortTokens,
    references: CohortTokens,
    filtered: NDArray[np.bool_],
    radius: int | None,
) -> NDArray[np.float32]:
    """Correct a table for references that were removed (step 9).

    Only entries whose nearest reference may have been removed are measured again.

    Args:
        table: (Q, B) distances with all references.
        queries: the Q tokens.
        references: the B volumes; the same object if a cohort is compared with itself.
        filtered: (tokens of the references,) bool, those that no longer serve as references.
        radius: of the matching, None for `global`.

    Returns:
        (Q, B) float32.
    """
    corrected = table.copy()
    own = references.own
    slack = _SQUARED_ERROR * max(_largest_square(queries), _largest_square(references))
    for volume in np.unique(own[filtered]):
        of_volume = own == volume
        removed = references.select(of_volume & filtered).volume(volume)
        kept = references.select(of_volume & ~filtered).volume(volume)
        to_removed = reference_distances(queries, removed, radius)[:, 0]
        affected = np.isfinite(to_removed) & np.isfinite(table[:, volume])
        affected &= to_removed**2 <= table[:, volume] ** 2 + slack
        if affected.any():
            nearest = reference_distances(queries.select(affected), kept, radius)
            corrected[affected, volume] = nearest[:, 0]
    return corrected


def _largest_square(cohort: CohortTokens) -> float:
    """Return the largest squared length of a token, measured from the mean."""
    if not len(cohort.tokens):
        return 0.0
    return float((cohort.tokens - cohort.tokens.mean(0)).square().sum(1).max())
