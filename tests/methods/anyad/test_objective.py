from __future__ import annotations

import pytest
import torch
from torch import nn

from brainad.methods.anyad.losses import Moments
from brainad.methods.anyad.network import Reconstructor
from brainad.methods.anyad.objective import LossWeights, loss_terms, mean_of, plain, step


def test_the_total_is_the_weighted_sum() -> None:
    torch.manual_seed(0)
    shallow, deep = torch.randn(2, 2, 9, 16)
    rebuilt = Reconstructor(16, 2, prototypes=3, blocks=2)(shallow, deep)
    reference = Moments(torch.zeros(16), torch.full((16,), 2.0))
    terms = plain(loss_terms(shallow, deep, rebuilt, reference, LossWeights(0.3, 0.7, 3.0)))
    weighted = terms["reconstruction"] + 0.3 * terms["consistency"] + 0.7 * terms["alignment"]
    assert terms["loss"] == pytest.approx(weighted, rel=1e-6)
    without = plain(loss_terms(shallow, deep, rebuilt, None, LossWeights(0.3, 0.7, 3.0)))
    assert "alignment" not in without
    assert without["loss"] == pytest.approx(weighted - 0.7 * terms["alignment"], rel=1e-6)


def test_each_group_is_clipped_on_its_own() -> None:
    loud, quiet = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    optimiser = torch.optim.SGD([*loud.parameters(), *quiet.parameters()], lr=1.0)
    before = [float(each.weight.detach()) for each in (loud, quiet)]
    loss = (1000 * loud.weight + 0.05 * quiet.weight).sum()
    assert step(loss, optimiser, [loud, quiet], limit=0.1) == pytest.approx(1000)
    moved = [b - float(each.weight.detach()) for b, each in zip(before, (loud, quiet), strict=True)]
    assert moved == pytest.approx([0.1, 0.05], rel=1e-4)


def test_epochs_report_the_mean_of_their_steps() -> None:
    assert mean_of([{"loss": 1.0, "x": 4.0}, {"loss": 3.0, "x": 4.0}]) == {"loss": 2.0, "x": 4.0}
