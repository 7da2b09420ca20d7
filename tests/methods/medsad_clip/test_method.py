from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from brainad.case import Placement, PreparedCase, TrainingCase
from brainad.errors import UsageError
from brainad.method import Session
from brainad.methods.medsad_clip.adapter import NO_WRITE_BACK
from brainad.methods.medsad_clip.method import MedSADCLIP
from brainad.methods.medsad_clip.network import NetworkSettings
from brainad.methods.medsad_clip.objective import LossWeights
from brainad.methods.medsad_clip.plan import MedSADCLIPPlan
from brainad.plan import Resources
from brainad.training.session import MemorySession
from brainad.volume import centred_grid

_SHAPE = (28, 35, 20)
PLAN = MedSADCLIPPlan(
    seed=1,
    reasons=(),
    channel="T2",
    encoder="tiny",
    slice_axis=2,
    longest_side=70,
    taps=(2, 4),
    anchors=("a normal brain", "a damaged brain"),
    network=NetworkSettings(
        taps=2,
        shared_width=16,
        adapter_design="normalised",
        mix=(0.9, 0.05, 0.05),
        learnable_tokens=2,
        segmentation="cross_attention",
        attention_heads=2,
        rescale_attention=True,
        decoder_widths=(16, 16, 8),
        decoder_groups=4,
        temperature=10.0,
        learn_temperature=True,
    ),
    losses=LossWeights(),
    margin=0.4,
    gamma=2.0,
    rate=5e-3,
    final_rate=1e-4,
    betas=(0.5, 0.999),
    gradient_limit=1.0,
    text_decay=1e-4,
    epochs=3,
    batches_per_epoch=12,
    batch=8,
    augmented_views=0,
    mirrored=True,
    learning_step=1,
    predicting_step=2,
    least_brain=0.2,
    normal_per_abnormal=2.0,
    normal_per_healthy=12,
    smallest_area_mm2=10.0,
    map_share=0.5,
    kept_gb=1.0,
    patient_rule="top",
    top_share=0.05,
    slice_smoothing=0.0,
)


class InterruptedTrainingError(Exception):
    """Stands for a kill."""


class StoppingSession(MemorySession):
    """Stops after a number of epochs."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.left = epochs

    def report(self, stage: str, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        super().report(stage, epoch, epochs, values)
        self.left -= 1
        if self.left == 0:
            raise InterruptedTrainingError


def head(name: str, has_lesion: bool) -> TrainingCase:
    """Make an ellipsoid of noise, with a bright ball on one side."""
    rng = np.random.default_rng([*name.encode()])
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in _SHAPE), indexing="ij")
    brain = x**2 + y**2 + z**2 < 0.9
    image = np.where(brain, 0.3 + 0.05 * rng.standard_normal(_SHAPE), 0).astype(np.float32)
    lesion = np.zeros(_SHAPE, dtype=bool)
    if has_lesion:
        lesion = (x - 0.4) ** 2 + y**2 + z**2 < 0.12
        image[lesion] = 0.9
    grid = centred_grid(_SHAPE, 2.0, np.zeros(3))
    prepared = PreparedCase(name, {"T2": image}, brain, Placement(grid, grid, np.eye(4)))
    return TrainingCase(prepared, np.ones(_SHAPE[2], dtype=bool), lesion)


@pytest.fixture(scope="module")
def cases() -> list[TrainingCase]:
    return [head("a", True), head("b", False), head("c", True)]


def learn(
    cases: list[TrainingCase], resources: Resources, session: Session, **settings: Any
) -> MedSADCLIP:
    method = MedSADCLIP(replace(PLAN, **settings), resources)
    method.fit(cases, session)
    return method


def without_write_back() -> dict[str, Any]:
    return {"network": replace(PLAN.network, mix=NO_WRITE_BACK)}


@pytest.mark.parametrize("settings", [{}, without_write_back()])
def test_a_new_lesion_is_found_where_it_is(
    cases: list[TrainingCase], resources: Resources, settings: dict[str, Any]
) -> None:
    session = MemorySession()
    method = learn(cases, resources, session, **settings)
    ill, well = head("new", True), head("other", False)
    found, nothing = method.predict([ill.case, well.case])
    assert ill.target is not None
    lesion, brain = ill.target, ill.case.brain
    evidence: NDArray[np.float32] = found.anomaly_map.data
    assert evidence[lesion].mean() > 3 * evidence[brain & ~lesion].mean()
    assert found.score > nothing.score
    assert found.slice_scores is not None
    assert found.slice_scores.shape == (_SHAPE[2],)
    assert found.slice_scores[9] > found.slice_scores[3]
    assert found.slice_scores[0] == 0
    first, last = session.reports[0][2], session.reports[-1][2]
    assert last["loss"] < first["loss"]
    assert last["margin_ceiling"] > 0


@pytest.mark.parametrize("settings", [{}, without_write_back()])
def test_an_interrupted_training_ends_like_an_uninterrupted_one(
    cases: list[TrainingCase], resources: Resources, settings: dict[str, Any]
) -> None:
    whole = learn(cases, resources, MemorySession(), **settings).state_dict()
    session = StoppingSession(2)
    with pytest.raises(InterruptedTrainingError):
        learn(cases, resources, session, **settings)
    # The report comes after the checkpoint, so two epochs are kept.
    resumed = learn(cases, resources, session, **settings).state_dict()
    assert [epoch for _, epoch, _ in session.reports] == [1, 2, 3]
    assert set(whole) == set(resumed)
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)


def test_frozen_parts_are_computed_once(
    cases: list[TrainingCase], resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    session = MemorySession()
    method = MedSADCLIP(replace(PLAN, **without_write_back()), resources)
    embed = type(method._towers.image).embed

    def counting(tower: Any, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        result: torch.Tensor = embed(tower, images)
        return result

    monkeypatch.setattr(type(method._towers.image), "embed", counting)
    method.fit(cases, session)
    once = sum(seen)
    method.fit(cases, session)
    assert sum(seen) == once > 0
    # Another fold uses what the first one kept.
    method.fit(cases[1:], session)
    assert sum(seen) == once


def test_the_prior_follows_the_share_of_slices_with_a_lesion(
    cases: list[TrainingCase], resources: Resources
) -> None:
    rare = learn([*cases, head("d", False)], resources, MemorySession(), epochs=1)
    often = learn(cases[:1], resources, MemorySession(), epochs=1)
    assert rare.state_dict()["prior_logit"] < often.state_dict()["prior_logit"] < 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"longest_side": 71}, "longest_side"),
        ({"taps": (2, 5)}, "taps"),
        ({"taps": (4, 2)}, "taps"),
        ({"taps": (1, 2, 3)}, "network.taps"),
        ({"network": replace(PLAN.network, attention_heads=3)}, "network.attention_heads"),
        ({"network": replace(PLAN.network, decoder_groups=5)}, "network.decoder_groups"),
        ({"batch": 1}, "batch"),
    ],
)
def test_settings_that_do_not_fit_are_named(
    resources: Resources, settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError) as caught:
        MedSADCLIP(replace(PLAN, **settings), resources)
    assert caught.value.where == f"plan, medsad_clip.{named}"


def test_the_state_of_other_settings_is_refused(
    cases: list[TrainingCase], resources: Resources
) -> None:
    state = learn(cases, resources, MemorySession(), epochs=1).state_dict()
    wider = replace(PLAN, network=replace(PLAN.network, shared_width=32))
    with pytest.raises(UsageError, match="does not fit the plan"):
        MedSADCLIP(wider, resources).load_state_dict(state)
