from __future__ import annotations

import numpy as np
import torch

from brainad.methods.anyad.alignment import (
    Adapter,
    RunningMoments,
    SubsetStatistics,
    match_moments,
)
from brainad.methods.anyad.losses import Moments, alignment_loss, token_moments
from brainad.methods.anyad.subsets import all_subsets
from tests.methods.anyad.golden_arrays import close

SUBSETS = all_subsets(("T1", "T2"))


def test_moments_are_measured_in_parts(rng: np.random.Generator) -> None:
    values = (rng.standard_normal((100, 5)) * 3 + 1000).astype(np.float32)
    running = RunningMoments(5)
    for part in np.split(values, [10, 11, 60]):
        running.add(part)
    moments = running.moments()
    exact = values.astype(np.float64)
    close(moments.mean, exact.mean(0), rtol=1e-6)
    close(moments.std, exact.std(0, ddof=1), rtol=1e-5)


def test_matched_features_have_no_alignment_loss() -> None:
    torch.manual_seed(0)
    deep = torch.randn(2, 50, 6) * torch.linspace(0.5, 2, 6) + torch.arange(6.0)
    reference = Moments(torch.zeros(6), torch.ones(6))
    matched = match_moments(deep, token_moments(deep), reference)
    assert float(alignment_loss(token_moments(matched), reference)) < 1e-9
    same = match_moments(deep, reference, reference)
    close(same, deep.numpy(), atol=1e-5)


def test_spreads_are_stretched_four_times_at_most() -> None:
    deep = torch.randn(1, 50, 2) * 0.01
    reference = Moments(torch.zeros(2), torch.ones(2))
    matched = match_moments(deep, token_moments(deep), reference)
    close(matched.std((0, 1)), (4 * deep.std((0, 1))).numpy(), rtol=1e-3)


def test_the_full_set_is_the_reference() -> None:
    moments = {subset: Moments(torch.full((2,), float(n)), torch.ones(2))
               for n, subset in enumerate(SUBSETS)}  # fmt: skip
    statistics = SubsetStatistics(moments[SUBSETS[-1]], moments)
    deep = torch.randn(1, 4, 2)
    full = match_moments(deep, statistics.nearest(("T1", "T2")), statistics.reference)
    close(full, deep.numpy(), atol=1e-6)
    assert statistics.nearest(("T2",)) is moments[("T2",)]


def test_an_adapter_starts_as_identity_and_the_alignment_loss_trains_it() -> None:
    torch.manual_seed(0)
    adapter = Adapter(16, SUBSETS)
    deep = torch.randn(2, 9, 16) + 1
    assert torch.equal(adapter(deep, ("T1",)), deep)
    reference = Moments(torch.zeros(16), torch.ones(16))
    optimiser = torch.optim.Adam(adapter.parameters(), 0.01)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = alignment_loss(token_moments(adapter(deep, ("T1",))), reference)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(adapter.parameters(), 1e9)
        assert float(norm) > 0
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    trained = adapter.vectors["T1"].grad
    assert trained is not None
    assert bool(trained.any())
    assert adapter.vectors["T2"].grad is None
