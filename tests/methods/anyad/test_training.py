from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brainad.case import PreparedCase
from brainad.encoders.tiny import tiny_encoder
from brainad.methods.anyad.features import FeatureSet, SliceEncoder
from brainad.methods.anyad.losses import alignment_loss, token_moments
from brainad.methods.anyad.model import TrainedModel
from brainad.methods.anyad.plan import AnyADPlan
from brainad.methods.anyad.subsets import all_subsets
from brainad.methods.anyad.training import batch_terms, deal, measure_statistics, train
from brainad.training.session import FolderSession, MemorySession
from tests.methods.anyad.conftest import make_case, make_plan

CPU = torch.device("cpu")
CHANNELS = ("FLAIR", "T1", "T2")


def features(cases: list[PreparedCase]) -> FeatureSet:
    slicer = SliceEncoder(tiny_encoder(0, CPU), make_plan())
    kept = [slicer.keep(slicer.slices(case, CHANNELS), MemorySession()) for case in cases]
    return FeatureSet(kept, slicer.layout)


@pytest.fixture(scope="module")
def data(healthy: list[PreparedCase]) -> FeatureSet:
    return features([*healthy, make_case("without_t1", 9, ("FLAIR", "T2"))])


def fit(data: FeatureSet, plan: AnyADPlan, session: Any = None) -> TrainedModel:
    return train(data, CHANNELS, 32, plan, CPU, session or MemorySession())


def test_every_set_of_channels_is_shown_and_only_what_is_there(data: FeatureSet) -> None:
    plan = make_plan()
    shown = Counter(
        (batch.available, batch.subset) for epoch in range(60) for batch in deal(data, plan, epoch)
    )
    assert {subset for available, subset in shown if available == CHANNELS} == set(
        all_subsets(CHANNELS)
    )
    assert {subset for available, subset in shown if available == ("FLAIR", "T2")} == set(
        all_subsets(("FLAIR", "T2"))
    )
    whole = replace(plan, channel_dropout=False)
    assert all(batch.subset == batch.available for batch in deal(data, whole, 0))


def test_epochs_deal_differently_and_repeatably(data: FeatureSet) -> None:
    def dealt(epoch: int) -> list[tuple[Any, ...]]:
        plan = make_plan(tokens_per_slice=5)
        batches = deal(data, plan, epoch)
        return [(b.slices.tolist(), b.subset, np.asarray(b.tokens).tolist()) for b in batches]

    assert dealt(0) == dealt(0)
    assert dealt(0) != dealt(1)


def test_a_few_slices_can_be_learnt_by_heart(healthy: list[PreparedCase]) -> None:
    session = MemorySession()
    plan = make_plan(epochs=300, channel_dropout=False, batch_size=2)
    fit(features(healthy[:1]), plan, session)
    losses = [values["reconstruction"] for _, _, values in session.reports]
    assert losses[-1] < losses[0] / 3


@pytest.mark.parametrize("alignment", ["none", "moment", "adapter"])
def test_training_resumes_to_the_same_weights(
    data: FeatureSet, tmp_path: Path, alignment: Any
) -> None:
    plan = make_plan(alignment=alignment, tokens_per_slice=6)
    whole = fit(data, plan).state_dict()

    class _KilledError(Exception):
        pass

    class Fragile(FolderSession):
        def report(self, stage: str, epoch: int, epochs: int, values: Any) -> None:
            super().report(stage, epoch, epochs, values)
            if epoch == 2:
                raise _KilledError

    with pytest.raises(_KilledError):
        fit(data, plan, Fragile(tmp_path, "key", tmp_path))
    resumed = fit(data, plan, FolderSession(tmp_path, "key", tmp_path)).state_dict()
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def alignment_gradient(data: FeatureSet, plan: AnyADPlan) -> float:
    """Return the gradient norm that the alignment term alone sends into trainable weights."""
    statistics = measure_statistics(data, CHANNELS, brain_only=False)
    model = TrainedModel(CHANNELS, 32, plan, statistics)
    batch = next(b for b in deal(data, plan, 0) if len(b.subset) < len(b.available))
    terms = batch_terms(model, data, batch, plan, CPU)
    if "alignment" not in terms or not terms["alignment"].requires_grad:
        return 0.0
    terms["alignment"].backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return float(torch.stack([g.norm() for g in gradients]).norm())


def test_the_adapter_is_trained_by_the_alignment_loss_and_the_published_mode_is_not(
    data: FeatureSet,
) -> None:
    assert alignment_gradient(data, make_plan(alignment="adapter")) > 0
    assert alignment_gradient(data, make_plan(alignment="monitor")) == 0


def test_alignment_makes_single_channels_like_the_full_set(data: FeatureSet) -> None:
    distances = {}
    modes: tuple[Any, ...] = ("none", "moment", "adapter")
    reference = measure_statistics(data, CHANNELS, brain_only=False).reference
    case = data.cases[0]
    for mode in modes:
        model = fit(data, make_plan(alignment=mode, epochs=40))
        _, deep = data.of_case(case, ("T1",))
        with torch.no_grad():
            moments = token_moments(model.aligned(deep, ("T1",)))
        distances[mode] = float(alignment_loss(moments, reference))
    assert distances["moment"] < 0.5 * distances["none"]
    assert distances["adapter"] < 0.5 * distances["none"]


def test_statistics_cover_the_sets_that_occur(healthy: list[PreparedCase]) -> None:
    pairs = features([make_case("a", 1, ("T1",)), make_case("b", 2, ("FLAIR", "T2"))])
    statistics = measure_statistics(pairs, CHANNELS, brain_only=True)
    assert set(statistics.subsets) == {("FLAIR",), ("T1",), ("T2",), ("FLAIR", "T2")}
    own = features(healthy[:2])
    whole = measure_statistics(own, CHANNELS, brain_only=True)
    assert torch.equal(whole.reference.mean, whole.subsets[CHANNELS].mean)
