"""Groups of volumes in the graph, and which of them stand out (CoDeGraph, steps 5 and 6)."""

from __future__ import annotations

from dataclasses import dataclass

import graspologic_native
import numpy as np
from numpy.typing import NDArray

from brainad.methods.codegraph3d.graph import GraphSettings

TRIALS = 100
TIE_BREAK = 1.001
"""Edge weights are whole numbers: a resolution just off them decides ties towards splitting."""


@dataclass(frozen=True, eq=False)
class Communities:
    """A partition of the volumes.

    Args:
        label: (B,) community of each volume, numbered by first appearance.
        size: (communities,) volumes in each.
        density: (communities,) mean edge weight inside; 0 for single volumes.
        fence: density above which a candidate is flagged.
        flagged: (communities,) bool, suspiciously dense.
    """

    label: NDArray[np.int64]
    size: NDArray[np.int64]
    density: NDArray[np.float64]
    fence: float
    flagged: NDArray[np.bool_]


def resolution_of(weights: NDArray[np.float64], factor: float) -> float:
    """Choose the edge weight that members of a community must exceed on average (γ).

    Args:
        weights: (B, B) symmetric link counts.
        factor: resolution in units of the mean weight over all pairs.
    """
    pairs = len(weights) * (len(weights) - 1) / 2
    return max(1.0, factor * float(weights.sum()) / 2 / pairs) * TIE_BREAK


def partition(weights: NDArray[np.float64], resolution: float, seed: int) -> NDArray[np.int64]:
    """Maximise the constant Potts quality with the Leiden algorithm (step 5).

    Args:
        weights: (B, B) symmetric link counts.
        resolution: weight γ that each pair inside a community costs.
        seed: of the node orders tried.

    Returns:
        (B,) community of each volume, numbered by first appearance.
    """
    source, target = np.nonzero(np.triu(weights, 1))
    edges = [(str(u), str(v), float(weights[u, v])) for u, v in zip(source, target, strict=True)]
    found: dict[str, int] = {}
    if edges:
        _, found = graspologic_native.leiden(
            edges, resolution=resolution, use_modularity=False, seed=seed, trials=TRIALS
        )
    alone = len(weights)
    raw = [found.get(str(volume), alone + volume) for volume in range(len(weights))]
    number = {community: i for i, community in enumerate(dict.fromkeys(raw))}
    return np.array([number[community] for community in raw], dtype=np.int64)


def potts_quality(
    weights: NDArray[np.float64], label: NDArray[np.int64], resolution: float
) -> float:
    """Sum over communities the inner weight minus γ for each inner pair.

    Args:
        weights: (B, B) symmetric link counts.
        label: (B,) community of each volume.
        resolution: γ.
    """
    inside = np.triu(label[:, None] == label[None, :], 1)
    return float((weights[inside] - resolution).sum())


def outlier_communities(
    weights: NDArray[np.float64],
    label: NDArray[np.int64],
    resolution: float,
    settings: GraphSettings,
) -> Communities:
    """Flag communities that are denser than the other edges explain (step 6).

    The fence is Tukey's, over the edge weights outside all candidate communities.

    Args:
        weights: (B, B) symmetric link counts.
        label: (B,) community of each volume.
        resolution: γ.
        settings: size limits and fence.
    """
    member = label[:, None] == np.arange(label.max() + 1)
    size = member.sum(0)
    pairs = size * (size - 1) / 2
    inner = np.einsum("uc,uv,vc->c", member, weights, member) / 2
    density = np.where(size > 1, inner / np.maximum(pairs, 1), 0.0)
    least = settings.min_density_factor * resolution
    candidate = (
        (size >= settings.min_size)
        & (size <= settings.max_size_share * len(label))
        & (density > least)
    )
    in_candidate = (label[:, None] == label[None, :]) & candidate[label][:, None]
    ordinary = weights[np.triu((weights > 0) & ~in_candidate, 1)]
    few = len(ordinary) < 4
    lower, upper = (resolution, resolution) if few else np.quantile(ordinary, [0.25, 0.75])
    fence = max(float(upper + settings.fence_factor * (upper - lower)), least)
    return Communities(label, size, density, fence, candidate & (density > fence))
