from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.methods.codegraph3d.cohort import CohortTokens
from brainad.methods.codegraph3d.mutual_score import rank_range
from brainad.methods.codegraph3d.scoring import ScoreSettings, score_against_bank, score_cohort

Golden = Callable[[str], dict[str, NDArray[Any]]]
MakeCohort = Callable[[NDArray[Any], NDArray[Any]], CohortTokens]
NAMES = ["planted", "two_groups", "null", "domain"]


def ranking_quality(scores: NDArray[Any], anomalous: NDArray[Any]) -> float:
    """Share of pairs in which the anomalous token scores higher (AUROC; no ties)."""
    return float((scores[anomalous][:, None] > scores[~anomalous]).mean())


@pytest.mark.parametrize("name", NAMES)
def test_scores_match_the_golden_file(golden: Golden, line_cohort: MakeCohort, name: str) -> None:
    known = golden(f"codegraph_{name}")
    cohort = line_cohort(known["tokens"], known["offsets"])
    plain = score_cohort(cohort, ScoreSettings(graph=None), seed=0)
    full = score_cohort(cohort, ScoreSettings(), seed=0)
    assert np.abs(plain.scores - known["score_musc"]).max() < 1e-5
    assert np.abs(full.scores - known["score"]).max() < 1e-5
    assert np.array_equal(full.filtered, known["filtered"].astype(bool))
    anomalous = known["token_label"] > 0
    assert ranking_quality(plain.scores, anomalous) == pytest.approx(known["auroc_token_musc"])
    assert ranking_quality(full.scores, anomalous) == pytest.approx(known["auroc_token"])
    for volume, (start, stop) in enumerate(
        zip(cohort.offsets[:-1], cohort.offsets[1:], strict=True)
    ):
        assert abs(plain.scores[start:stop].max() - known["volume_score_musc"][volume]) < 1e-5
        assert abs(full.scores[start:stop].max() - known["volume_score"][volume]) < 1e-5


def test_domains_are_reported_and_not_filtered(golden: Golden, line_cohort: MakeCohort) -> None:
    known = golden("codegraph_domain")
    found = score_cohort(line_cohort(known["tokens"], known["offsets"]), ScoreSettings(), seed=0)
    assert [each.domain for each in found.filters] == [True]
    assert found.communities is not None
    assert found.communities.flagged.sum() == 1


def test_permuted_volumes_have_permuted_scores(golden: Golden, line_cohort: MakeCohort) -> None:
    known = golden("codegraph_planted")
    offsets = known["offsets"]
    order = np.random.default_rng(1).permutation(len(offsets) - 1)
    rows = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in order])
    new_offsets = np.concatenate([[0], np.cumsum(np.diff(offsets)[order])])
    scores = score_cohort(line_cohort(known["tokens"], offsets), ScoreSettings(), 0).scores
    permuted = line_cohort(known["tokens"][rows], new_offsets)
    assert np.abs(score_cohort(permuted, ScoreSettings(), 0).scores - scores[rows]).max() < 1e-5


def test_adding_a_constant_vector_changes_nothing(golden: Golden, line_cohort: MakeCohort) -> None:
    known = golden("codegraph_two_groups")
    tokens, offsets = known["tokens"], known["offsets"]
    scores = score_cohort(line_cohort(tokens, offsets), ScoreSettings(), 0).scores
    moved = line_cohort(tokens + np.float32(0.5), offsets)
    assert np.abs(score_cohort(moved, ScoreSettings(), 0).scores - scores).max() < 1e-5


def test_scaled_tokens_have_scaled_scores(golden: Golden, line_cohort: MakeCohort) -> None:
    known = golden("codegraph_two_groups")
    tokens, offsets = known["tokens"], known["offsets"]
    scores = score_cohort(line_cohort(tokens, offsets), ScoreSettings(), 0).scores
    larger = score_cohort(line_cohort(2 * tokens, offsets), ScoreSettings(), 0).scores
    assert np.abs(larger - 2 * scores).max() < 1e-5


def test_bank_scores_match_the_golden_file(golden: Golden, line_cohort: MakeCohort) -> None:
    known = golden("bank")
    bank = line_cohort(known["tokens_bank"], known["offsets_bank"])
    case = line_cohort(known["tokens_new"], np.array([0, len(known["tokens_new"])]))
    settings = ScoreSettings(interval=(0, float(known["k_frac"])), graph=None)
    assert rank_range(bank.volumes - 1, settings.interval) == (0, int(known["K_bank"]))
    assert rank_range(bank.volumes, settings.interval) == (0, int(known["K_new"]))
    before = score_cohort(bank, settings, 0).scores
    new = score_against_bank(case, bank, settings)
    assert np.abs(before - known["score_bank_before"]).max() < 1e-5
    assert np.abs(new - known["score_new"]).max() < 1e-5


@pytest.mark.parametrize("radius", [None, 1])
def test_a_new_case_scores_the_same_as_inside_the_batch(
    golden: Golden, line_cohort: MakeCohort, radius: int | None
) -> None:
    known = golden("bank")
    settings = ScoreSettings(radius=radius, graph=None)
    tokens = np.concatenate([known["tokens_bank"], known["tokens_new"]])
    batch = line_cohort(tokens, np.append(known["offsets_bank"], len(tokens)))
    bank = batch.select(batch.own < 10)
    bank = type(bank)(bank.tokens, bank.offsets[:-1], bank.cell_index, bank.grid)
    full = score_cohort(batch, settings, 0).scores
    new = score_against_bank(batch.volume(10), bank, settings)
    assert np.abs(new - full[-len(new) :]).max() < 1e-5
    if radius is None:
        assert np.abs(full - known["score_full"]).max() < 1e-5
        assert np.abs(full[: -len(new)] - known["score_bank_after"]).max() < 1e-5


def test_local_matching_also_removes_shared_anomalies(grid_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(2)
    volumes, sick = 24, 6
    anatomy = rng.normal(size=(4, 4, 4, 8))
    tokens = anatomy + 0.4 * rng.normal(size=(volumes, 4, 4, 4, 8))
    cells = rng.random((volumes, 4, 4, 4)) < 0.8
    lesion = np.zeros((4, 4, 4), dtype=bool)
    lesion[1:3, 1:3, 1:3] = True
    shared = anatomy[lesion] + 3
    tokens[:sick, lesion] = shared + 0.02 * rng.normal(size=(sick, *shared.shape))
    cells[:sick, lesion] = True
    cohort = grid_cohort(tokens, cells)
    planted = (cohort.own < sick) & lesion.ravel()[cohort.cell_index]
    plain = score_cohort(cohort, ScoreSettings(radius=1, graph=None), 0)
    full = score_cohort(cohort, ScoreSettings(radius=1), 0)
    assert full.filtered[planted].all()
    assert full.scores[planted].min() > 1.5 * plain.scores[planted].max()
    assert full.filtered[~planted].mean() < 0.02


@pytest.mark.parametrize("radius", [None, 1])
def test_two_single_token_volumes_score_their_distance(
    line_cohort: MakeCohort, radius: int | None
) -> None:
    cohort = line_cohort(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([0, 1, 2]))
    found = score_cohort(cohort, ScoreSettings(radius=radius), 0)
    assert np.allclose(found.scores, 5)
    assert found.communities is None


def test_a_token_without_candidates_scores_zero(grid_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(3)
    cells = np.zeros((4, 5, 5, 5), dtype=bool)
    cells[:, 0, 0, 0] = True
    cells[2, 4, 4, 4] = True
    cohort = grid_cohort(rng.normal(size=(4, 5, 5, 5, 3)), cells)
    scores = score_cohort(cohort, ScoreSettings(radius=1), 0).scores
    lonely = cohort.cell_index == 124
    assert scores[lonely].tolist() == [0]
    assert (scores[~lonely] > 0).all()


def test_one_volume_cannot_be_scored(line_cohort: MakeCohort) -> None:
    with pytest.raises(ValueError, match="at least two"):
        score_cohort(line_cohort(np.zeros((2, 2)), np.array([0, 2])), ScoreSettings(), 0)
