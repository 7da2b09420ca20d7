from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from brainad.methods.codegraph3d.cohort import CohortTokens
from brainad.methods.codegraph3d.matching import cohort_distances, reference_distances

Golden = Callable[[str], dict[str, NDArray[Any]]]
MakeCohort = Callable[[NDArray[Any], NDArray[Any]], CohortTokens]

SIZES = (5, 1, 300, 0, 17)


def ragged(seed: int, sizes: tuple[int, ...] = SIZES) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(sum(sizes), 6)), np.concatenate([[0], np.cumsum(sizes)])


def naive_table(tokens: NDArray[Any], offsets: NDArray[Any]) -> NDArray[np.float64]:
    """Take the minimum over every token pair, one volume against another."""
    table = np.full((len(tokens), len(offsets) - 1), np.inf)
    own = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    for token, volume in np.ndindex(*table.shape):
        others = tokens[offsets[volume] : offsets[volume + 1]]
        if own[token] != volume and len(others):
            table[token, volume] = np.linalg.norm(others - tokens[token], axis=1).min()
    return table


def assert_same_table(found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> None:
    finite = np.isfinite(expected)
    assert np.array_equal(np.isfinite(found), finite)
    assert np.abs(found[finite] - expected[finite]).max() < tolerance


def test_symmetric_table_equals_the_naive_one(line_cohort: MakeCohort) -> None:
    tokens, offsets = ragged(1)
    table = cohort_distances(line_cohort(tokens, offsets))
    assert table.dtype == np.float32
    assert_same_table(table, naive_table(tokens, offsets), 1e-5)


@pytest.mark.parametrize("name", ["planted", "two_groups", "null", "domain"])
def test_table_matches_the_golden_file(golden: Golden, line_cohort: MakeCohort, name: str) -> None:
    known = golden(f"codegraph_{name}")
    table = cohort_distances(line_cohort(known["tokens"], known["offsets"]))
    assert_same_table(table, known["D"], 5e-5)


def test_equal_sized_images_match_the_golden_file(golden: Golden, line_cohort: MakeCohort) -> None:
    known = golden("msm")
    images, size, _ = known["Z"].shape
    cohort = line_cohort(known["Z"].reshape(images * size, -1), np.arange(images + 1) * size)
    table = cohort_distances(cohort)
    assert_same_table(table, known["D"].reshape(images * size, images), 5e-5)
    order = np.argsort(table, axis=1, kind="stable")[:, :-1]
    assert np.array_equal(order, known["sorted_id"].reshape(len(order), -1))


def test_bank_tables_match_the_golden_file(golden: Golden, line_cohort: MakeCohort) -> None:
    known = golden("bank")
    bank = line_cohort(known["tokens_bank"], known["offsets_bank"])
    case = line_cohort(known["tokens_new"], np.array([0, len(known["tokens_new"])]))
    assert_same_table(cohort_distances(bank), known["D_bank"], 1e-5)
    assert_same_table(reference_distances(case, bank), known["D_new_to_bank"], 1e-5)
    assert_same_table(reference_distances(bank, case)[:, 0], known["D_bank_to_new"], 1e-5)


def test_a_large_common_component_costs_no_precision(line_cohort: MakeCohort) -> None:
    tokens, offsets = ragged(2)
    shifted = (tokens + 30).astype(np.float32).astype(np.float64)
    table = cohort_distances(line_cohort(shifted, offsets))
    assert_same_table(table, naive_table(shifted, offsets), 1e-4)
    assert_same_table(table, naive_table(tokens, offsets), 1e-4)


def test_scaled_tokens_have_scaled_distances(line_cohort: MakeCohort) -> None:
    tokens, offsets = ragged(3)
    table = cohort_distances(line_cohort(tokens, offsets))
    larger = cohort_distances(line_cohort(4 * tokens, offsets))
    assert_same_table(larger, 4 * table, 1e-5)


def test_permuted_volumes_have_permuted_columns(line_cohort: MakeCohort) -> None:
    tokens, offsets = ragged(4, (4, 6, 5))
    order = [2, 0, 1]
    parts = np.split(tokens, offsets[1:-1])
    rows = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in order])
    permuted = line_cohort(
        np.concatenate([parts[i] for i in order]),
        np.concatenate([[0], np.cumsum([len(parts[i]) for i in order])]),
    )
    table = cohort_distances(line_cohort(tokens, offsets))
    assert_same_table(cohort_distances(permuted), table[rows][:, order], 1e-6)


def test_equal_tokens_are_at_distance_zero_not_nan(line_cohort: MakeCohort) -> None:
    tokens = np.full((3, 4), 0.1)
    table = cohort_distances(line_cohort(tokens, np.array([0, 1, 3])))
    assert np.array_equal(table, [[np.inf, 0], [0, np.inf], [0, np.inf]])


@pytest.mark.parametrize("radius", [None, 1])
def test_two_single_token_volumes(line_cohort: MakeCohort, radius: int | None) -> None:
    cohort = line_cohort(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([0, 1, 2]))
    table = cohort_distances(cohort, radius)
    assert np.allclose(table, [[np.inf, 5], [5, np.inf]], rtol=1e-6)


@pytest.mark.parametrize("radius", [None, 1])
def test_an_empty_reference_is_infinitely_far(line_cohort: MakeCohort, radius: int | None) -> None:
    tokens, offsets = ragged(6, (3, 2))
    cohort = line_cohort(tokens, offsets)
    nothing = cohort.select(np.zeros(5, dtype=bool))
    table = reference_distances(cohort, nothing, radius)
    assert np.array_equal(table, np.full((5, 2), np.inf))


def test_tokens_stay_unchanged(line_cohort: MakeCohort) -> None:
    cohort = line_cohort(*ragged(7))
    before = cohort.tokens.clone()
    cohort_distances(cohort)
    cohort_distances(cohort, radius=1)
    assert torch.equal(cohort.tokens, before)
