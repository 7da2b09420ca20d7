from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.methods.codegraph3d.communities import (
    outlier_communities,
    partition,
    potts_quality,
    resolution_of,
)
from brainad.methods.codegraph3d.graph import GraphSettings

Golden = Callable[[str], dict[str, NDArray[Any]]]
NAMES = ["planted", "two_groups", "null", "domain"]


def partitions(volumes: int) -> Iterator[list[int]]:
    """Enumerate every partition of a few volumes."""
    if volumes == 0:
        yield []
        return
    for smaller in partitions(volumes - 1):
        for community in range(max(smaller, default=-1) + 2):
            yield [*smaller, community]


def random_graph(seed: int, volumes: int) -> NDArray[np.float64]:
    upper = np.triu(np.random.default_rng(seed).poisson(1.5, (volumes, volumes)), 1)
    return (upper + upper.T).astype(np.float64)


@pytest.mark.parametrize("name", NAMES)
def test_resolution_and_partition_match_the_golden_file(golden: Golden, name: str) -> None:
    known = golden(f"codegraph_{name}")
    resolution = resolution_of(known["W"], 2.0)
    assert np.isclose(resolution, known["gamma"], rtol=1e-12)
    for seed in range(5):
        label = partition(known["W"], resolution, seed)
        assert np.array_equal(label, known["volume_label"])
        assert np.isclose(potts_quality(known["W"], label, resolution), known["quality"])


@pytest.mark.parametrize("name", NAMES)
def test_flags_match_the_golden_file(golden: Golden, name: str) -> None:
    known = golden(f"codegraph_{name}")
    label = known["volume_label"].astype(np.int64)
    found = outlier_communities(known["W"], label, float(known["gamma"]), GraphSettings())
    assert np.array_equal(found.size, known["comm_size"])
    assert np.allclose(found.density, known["comm_density"])
    assert np.array_equal(found.flagged, known["comm_flagged"].astype(bool))
    fences = known["comm_fence"]
    assert np.allclose(fences[np.isfinite(fences)], found.fence)


@pytest.mark.parametrize("seed", range(10))
def test_the_partition_is_the_best_of_all_on_small_graphs(seed: int) -> None:
    weights = random_graph(seed, 8)
    resolution = resolution_of(weights, 1.2)
    best = max(potts_quality(weights, np.array(p), resolution) for p in partitions(8))
    assert np.isclose(potts_quality(weights, partition(weights, resolution, 0), resolution), best)


def test_the_partition_is_deterministic_and_labelled_by_first_appearance() -> None:
    weights = random_graph(3, 40)
    first, second = (partition(weights, 1.4, seed=7) for _ in range(2))
    assert np.array_equal(first, second)
    _, appearance = np.unique(first, return_index=True)
    assert np.all(np.diff(appearance) > 0)


def test_volumes_without_edges_stay_alone() -> None:
    weights = np.zeros((5, 5))
    weights[1, 3] = weights[3, 1] = 9
    assert partition(weights, 1.001, 0).tolist() == [0, 1, 2, 1, 3]
    assert partition(np.zeros((3, 3)), 1.001, 0).tolist() == [0, 1, 2]


def test_a_graph_without_edges_flags_nothing() -> None:
    found = outlier_communities(np.zeros((3, 3)), np.arange(3), 1.001, GraphSettings())
    assert not found.flagged.any()


def test_a_dense_group_is_flagged_only_within_the_size_limits() -> None:
    weights = np.ones((12, 12)) - np.eye(12)
    weights[:4, :4] = 10 * (1 - np.eye(4))
    label = np.array([0] * 4 + list(range(1, 9)))
    flagged = [
        outlier_communities(weights, label, 1.0, settings).flagged[0]
        for settings in (
            GraphSettings(),
            GraphSettings(min_size=5),
            GraphSettings(max_size_share=0.3),
            GraphSettings(min_density_factor=10),
        )
    ]
    assert flagged == [True, False, False, False]
