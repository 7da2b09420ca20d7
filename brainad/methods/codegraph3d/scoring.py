"""Token scores of a cohort, or of a new case against a bank, at one layer."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brainad.method import Spread
from brainad.methods.codegraph3d.cohort import BlockedCohort, CohortTokens, one_block
from brainad.methods.codegraph3d.cohort_table import cohort_table, table_without
from brainad.methods.codegraph3d.communities import (
    Communities,
    outlier_communities,
    partition,
    resolution_of,
)
from brainad.methods.codegraph3d.filtering import (
    CommunityFilter,
    filter_community,
)
from brainad.methods.codegraph3d.graph import GraphSettings, select_links, volume_graph
from brainad.methods.codegraph3d.matching import reference_distances
from brainad.methods.codegraph3d.mutual_score import Interval, mutual_scores, rank_range

SMALLEST_GRAPH = 3
"""A token needs two other volumes before their distances can be compared."""


@dataclass(frozen=True)
class ScoreSettings:
    """How tokens are scored.

    Args:
        interval: part of the sorted distances that is averaged.
        radius: cells a match may be away; None matches anywhere, as published.
        graph: how shared anomalies are removed; None leaves them.
    """

    interval: Interval = (0.0, 0.3)
    radius: int | None = None
    graph: GraphSettings | None = field(default_factory=GraphSettings)


@dataclass(frozen=True, eq=False)
class CohortScores:
    """Scores of a cohort at one layer.

    Args:
        scores: (T,) float64, higher is more anomalous.
        filtered: (T,) bool, tokens that do not serve as references.
        communities: groups found in the graph; None without a graph.
        filters: one per flagged community, in label order.
    """

    scores: NDArray[np.float64]
    filtered: NDArray[np.bool_]
    communities: Communities | None
    filters: tuple[CommunityFilter, ...]


def score_cohort(cohort: CohortTokens, settings: ScoreSettings, seed: int) -> CohortScores:
    """Score a cohort whose tokens are in memory; see `score_blocks`."""
    return score_blocks(one_block(cohort), settings, seed)


def score_blocks(
    cohort: BlockedCohort, settings: ScoreSettings, seed: int, spread: Spread = map
) -> CohortScores:
    """Score every token against the other volumes of its cohort.

    A token without a candidate in any other volume scores 0: nothing is known about it.

    Args:
        cohort: at least two volumes.
        settings: interval, matching and graph.
        seed: of the community search.
        spread: compares the blocks; the rest is done here, from the table.

    Raises:
        ValueError: fewer than two volumes.
    """
    if cohort.volumes < 2:
        raise ValueError("mutual scoring needs at least two volumes")
    ranks = rank_range(cohort.volumes - 1, settings.interval)
    table = cohort_table(cohort, settings.radius, spread)
    filtered = np.zeros(len(table), dtype=bool)
    communities: Communities | None = None
    filters: tuple[CommunityFilter, ...] = ()
    if settings.graph is not None and cohort.volumes >= SMALLEST_GRAPH:
        communities, filters = find_shared_anomalies(table, cohort.own, ranks, settings.graph, seed)
        for each in filters:
            filtered |= each.filtered
        table = table_without(table, cohort, filtered, settings.radius, spread)
    return CohortScores(_known(mutual_scores(table, ranks)), filtered, communities, filters)


def find_shared_anomalies(
    table: NDArray[np.float32],
    own: NDArray[np.int64],
    ranks: tuple[int, int],
    settings: GraphSettings,
    seed: int,
) -> tuple[Communities, tuple[CommunityFilter, ...]]:
    """Find groups of volumes that share an anomaly, and its tokens (CoDeGraph, steps 1 to 8).

    Args:
        table: (T, B) distances.
        own: (T,) volume of each token.
        ranks: of the mutual score.
        settings: of the graph.
        seed: of the community search.
    """
    weights = volume_graph(select_links(table, own, settings), own, table.shape[1])
    resolution = resolution_of(weights, settings.resolution_factor)
    label = partition(weights, resolution, seed)
    communities = outlier_communities(weights, label, resolution, settings)
    filters = [
        filter_community(table, own, label == community, ranks, settings)
        for community in np.flatnonzero(communities.flagged)
    ]
    return communities, tuple(filters)


def score_against_bank(
    case: CohortTokens, bank: CohortTokens, settings: ScoreSettings
) -> NDArray[np.float64]:
    """Score the tokens of new volumes, each against all volumes of a bank.

    Args:
        case: new volumes with Q tokens.
        bank: stored volumes without their filtered tokens.
        settings: interval and matching; the graph belongs to the making of the bank.

    Returns:
        (Q,) float64; 0 for a token without a candidate.
    """
    table = reference_distances(case, bank, settings.radius)
    return _known(mutual_scores(table, rank_range(bank.volumes, settings.interval)))


def _known(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace the unknown score of tokens without candidates by 0."""
    return np.nan_to_num(scores, nan=0.0)
