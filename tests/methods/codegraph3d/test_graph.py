from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.methods.codegraph3d.cohort import CohortTokens
from brainad.methods.codegraph3d.graph import (
    GraphSettings,
    Links,
    endurance_ratios,
    reference_rank,
    select_links,
    volume_graph,
)
from brainad.methods.codegraph3d.matching import cohort_distances

Golden = Callable[[str], dict[str, NDArray[Any]]]
MakeCohort = Callable[[NDArray[Any], NDArray[Any]], CohortTokens]
NAMES = ["planted", "two_groups", "null", "domain"]


def naive_links(
    table: NDArray[Any], own: NDArray[Any], settings: GraphSettings
) -> list[tuple[int, int, int]]:
    """Take links one by one in ascending order until enough volumes are touched."""
    tokens, volumes = table.shape
    omega = reference_rank(volumes, settings.reference_share)
    order = np.argsort(table, axis=1, kind="stable")
    middle = np.median([table[x, order[x, omega - 1]] for x in range(tokens)])
    candidates = []
    for token in range(tokens):
        reference = table[token, order[token, omega - 1]]
        for rank in range(1, omega):
            target = int(order[token, rank - 1])
            weight = max(1.0, middle / reference) ** settings.weight_exponent
            candidates.append((table[token, target] / reference * weight, token, rank, target))
    touched: set[int] = set()
    chosen: list[tuple[int, int, int]] = []
    most = max(1, int(settings.max_link_share * len(candidates)))
    for _, token, rank, target in sorted(candidates):
        enough = len(touched) >= math.ceil(settings.coverage * volumes)
        if enough or len(chosen) >= most:
            break
        chosen.append((token, rank, target))
        touched |= {int(own[token]), target}
    return chosen


def random_table(seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    own = np.repeat(np.arange(9), rng.integers(3, 9, 9))
    table = rng.gamma(4, size=(len(own), 9)).astype(np.float32)
    table[np.arange(len(own)), own] = np.inf
    return table, own


@pytest.mark.parametrize("name", NAMES)
def test_links_and_graph_match_the_golden_file(
    golden: Golden, line_cohort: MakeCohort, name: str
) -> None:
    known = golden(f"codegraph_{name}")
    cohort = line_cohort(known["tokens"], known["offsets"])
    table = cohort_distances(cohort)
    links = select_links(table, cohort.own, GraphSettings())
    found = np.stack([links.token, links.rank, links.target], 1)
    assert {tuple(link) for link in found.tolist()} == {
        tuple(link) for link in known["links"].tolist()
    }
    assert np.abs(links.ratio - known["link_value"]).max() < 1e-5
    assert np.array_equal(volume_graph(links, cohort.own, cohort.volumes), known["W"])


@pytest.mark.parametrize("name", NAMES)
def test_endurance_ratios_match_the_golden_file(golden: Golden, name: str) -> None:
    known = golden(f"codegraph_{name}")
    omega = reference_rank(len(known["offsets"]) - 1, 0.5)
    assert omega == known["omega"]
    nearest = known["sorted_d"][:, :omega]
    assert np.abs(endurance_ratios(nearest, 0.0) - known["zeta"]).max() < 1e-6
    weight = np.maximum(1, known["med_omega"] / nearest[:, -1:])
    weighted = endurance_ratios(nearest, 1.0)
    assert np.abs(weighted - known["zeta"] * weight).max() < 1e-5


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("max_link_share", [0.02, 1.0])
def test_the_closed_form_equals_taking_links_in_order(seed: int, max_link_share: float) -> None:
    table, own = random_table(seed)
    settings = GraphSettings(max_link_share=max_link_share)
    links = select_links(table, own, settings)
    found = list(zip(links.token.tolist(), links.rank.tolist(), links.target.tolist(), strict=True))
    assert found == naive_links(table, own, settings)


def test_tokens_with_too_few_candidates_have_no_links() -> None:
    table, own = random_table(0)
    settings = GraphSettings(max_link_share=1.0, coverage=1.0)
    poor = np.arange(0, len(table), 4)
    table[poor[:, None], np.arange(3, 9)] = np.inf
    links = select_links(table, own, settings)
    assert len(links.token) > 0
    assert not np.isin(links.token, poor).any()


def test_a_table_without_candidates_has_no_links() -> None:
    table = np.full((4, 4), np.inf, dtype=np.float32)
    links = select_links(table, np.arange(4), GraphSettings())
    assert len(links.token) == 0
    assert not volume_graph(links, np.arange(4), 4).any()


def test_edges_count_links_in_both_directions() -> None:
    links = Links(
        np.array([0, 1, 2]), np.array([1, 1, 1]), np.array([1, 0, 2]), np.array([0.1, 0.2, 0.3])
    )
    graph = volume_graph(links, np.array([0, 1, 1]), 3)
    assert np.array_equal(graph, [[0, 2, 0], [2, 0, 1], [0, 1, 0]])
