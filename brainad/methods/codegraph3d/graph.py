"""The graph of volumes that are suspiciously alike in a few tokens (CoDeGraph, steps 1-4).

An anomaly shared by a group of volumes has a few very near neighbours, then the distances jump
as soon as the group is used up. Such neighbours become links; links become edges of volumes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.plan import Table


@dataclass(frozen=True)
class GraphSettings(Table):
    """How groups of volumes with a shared anomaly are found and filtered.

    Args:
        reference_share: rank of the reference distance, as a share of the other volumes (ω).
        weight_exponent: how much tokens close to everything are made less suspicious (η).
        coverage: share of volumes that links should touch (λ).
        max_link_share: largest share of all possible links that may be selected.
        resolution_factor: community resolution in mean edge weights (γ_c).
        min_size: volumes in the smallest group that can be flagged.
        max_size_share: share of the cohort in the largest group that can be flagged.
        min_density_factor: density a group must exceed, in resolutions.
        fence_factor: interquartile ranges above the upper quartile that make an outlier (β).
        dependency_quantile: quantile of the other volumes' dependency ratios above which a
            token of a flagged group is filtered.
        max_filtered_share: a group that would lose more of its tokens is a domain, not an
            anomaly, and loses none.
    """

    reference_share: float = 0.5
    weight_exponent: float = 1.0
    coverage: float = 0.95
    max_link_share: float = 0.05
    resolution_factor: float = 2.0
    min_size: int = 3
    max_size_share: float = 0.5
    min_density_factor: float = 2.0
    fence_factor: float = 1.5
    dependency_quantile: float = 0.99
    max_filtered_share: float = 0.25


@dataclass(frozen=True, eq=False)
class Links:
    """Suspicious links from tokens to volumes, the most suspicious first.

    Args:
        token: (M,) token number.
        rank: (M,) place of the volume among the token's nearest volumes, from 1.
        target: (M,) volume number.
        ratio: (M,) weighted endurance ratio, ascending.
    """

    token: NDArray[np.int64]
    rank: NDArray[np.int64]
    target: NDArray[np.int64]
    ratio: NDArray[np.float64]


def reference_rank(volumes: int, share: float) -> int:
    """Choose the rank ω whose distance stands for a token's ordinary neighbourhood, from 1."""
    return max(2, math.floor(share * (volumes - 1) + 1e-9))


def endurance_ratios(nearest: NDArray[np.floating[Any]], exponent: float) -> NDArray[np.float64]:
    """Compare each token's nearest distances with its reference distance (steps 1 and 2).

    Ratios of tokens whose reference distance is below the median are raised by
    (median / reference) ** exponent: being close to everything is not suspicious.

    Args:
        nearest: (T, ω) ascending distances; inf where there is no volume.
        exponent: of the weight; 0 for none.

    Returns:
        (T, ω - 1) float64; inf for a token without a reference distance.
    """
    reference = np.maximum(nearest[:, -1:].astype(np.float64), 1e-12)
    complete = np.isfinite(reference[:, 0])
    ratios = np.full((len(nearest), nearest.shape[1] - 1), np.inf)
    if complete.any():
        reference = reference[complete]
        weight = np.maximum(1, np.median(reference) / reference) ** exponent
        ratios[complete] = nearest[complete, :-1] / reference * weight
    return ratios


def select_links(
    table: NDArray[np.float32], own: NDArray[np.int64], settings: GraphSettings
) -> Links:
    """Select the smallest endurance ratios that touch enough volumes (step 3).

    Taking links in ascending order until ⌈coverage · B⌉ volumes are touched is the same as
    keeping all ratios up to the ⌈coverage · B⌉-th smallest of the volumes' own minima.

    Args:
        table: (T, B) distances; inf where there is no candidate.
        own: (T,) volume of each token.
        settings: of the graph.
    """
    volumes = table.shape[1]
    omega = reference_rank(volumes, settings.reference_share)
    target = np.argsort(table, axis=1, kind="stable")[:, :omega]
    nearest = np.take_along_axis(table, target, axis=1)
    ratios = endurance_ratios(nearest, settings.weight_exponent)
    smallest = np.full(volumes, np.inf)
    np.minimum.at(smallest, own, ratios.min(axis=1, initial=np.inf))
    np.minimum.at(smallest, target[:, : ratios.shape[1]], ratios)
    limit = np.sort(smallest)[math.ceil(settings.coverage * volumes) - 1]
    most = max(1, int(settings.max_link_share * ratios.size))
    selected = np.isfinite(ratios) & (ratios <= limit)
    if selected.sum() > most:
        selected = ratios <= np.partition(ratios, most - 1, axis=None)[most - 1]
    token, rank = np.nonzero(selected)
    order = np.argsort(ratios[token, rank], kind="stable")
    token, rank = token[order], rank[order]
    return Links(token, rank + 1, target[token, rank], ratios[token, rank])


def volume_graph(links: Links, own: NDArray[np.int64], volumes: int) -> NDArray[np.float64]:
    """Count the links between volumes in both directions (step 4).

    Returns:
        (B, B) symmetric float64 with a zero diagonal.
    """
    weights = np.zeros((volumes, volumes))
    np.add.at(weights, (own[links.token], links.target), 1)
    return weights + weights.T
