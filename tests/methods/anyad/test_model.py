from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from brainad.methods.anyad.alignment import SubsetStatistics
from brainad.methods.anyad.losses import Moments
from brainad.methods.anyad.model import TrainedModel
from brainad.methods.anyad.subsets import all_subsets
from tests.methods.anyad.conftest import make_plan

CHANNELS = ("T1", "T2")


def model(alignment: Any) -> TrainedModel:
    torch.manual_seed(0)
    subsets = {s: Moments(torch.randn(32), torch.rand(32) + 0.5) for s in all_subsets(CHANNELS)}
    statistics = SubsetStatistics(subsets[CHANNELS], subsets)
    needed = None if alignment == "none" else statistics
    made = TrainedModel(CHANNELS, 32, make_plan(alignment=alignment), needed)
    if made.adapter is not None:
        torch.nn.init.normal_(made.adapter.up.weight)
    return made.eval()


@pytest.mark.parametrize("alignment", ["none", "monitor", "moment", "adapter"])
def test_a_model_survives_as_arrays(alignment: Any) -> None:
    before = model(alignment)
    arrays = before.arrays()
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    after = TrainedModel.from_arrays(arrays, CHANNELS, 32, make_plan(alignment=alignment))
    shallow, deep = torch.randn(2, 1, 9, 32)
    for subset in all_subsets(CHANNELS):
        with torch.no_grad():
            ones, twos = (
                (aligned := each.aligned(deep, subset), each.network(shallow, aligned).deep)
                for each in (before, after)
            )
        assert all(torch.equal(one, two) for one, two in zip(ones, twos, strict=True))


def test_restoring_leaves_the_random_state_alone() -> None:
    arrays = model("none").arrays()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    TrainedModel.from_arrays(arrays, CHANNELS, 32, make_plan())
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("alignment", ["none", "monitor"])
def test_without_alignment_features_stay(alignment: Any) -> None:
    deep = torch.randn(1, 9, 32)
    assert model(alignment).aligned(deep, ("T1",)) is deep


@pytest.mark.parametrize("alignment", ["moment", "adapter"])
def test_alignment_depends_on_the_channels(alignment: Any) -> None:
    made = model(alignment)
    if made.adapter is not None:
        torch.nn.init.normal_(made.adapter.vectors["T1"])
    deep = torch.randn(1, 9, 32)
    with torch.no_grad():
        one, other = (made.aligned(deep, subset) for subset in (("T1",), ("T2",)))
    assert not torch.equal(one, other)
