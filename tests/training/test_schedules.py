from __future__ import annotations

import numpy as np
import pytest
import torch

from brainad.training.schedules import ScheduledRate, WarmUpCosine


def test_the_rate_rises_falls_and_stays() -> None:
    schedule = WarmUpCosine(base=1.0, final=0.1, total=20, warm_up=5)
    rates = [schedule.rate(iteration) for iteration in range(25)]
    assert rates[:5] == pytest.approx(np.linspace(0, 1, 5))
    assert rates[5] == 1.0
    assert rates[20:] == [0.1] * 5
    assert all(np.diff(rates[5:20]) < 0)


def test_warm_up_may_be_longer_than_the_training() -> None:
    schedule = WarmUpCosine(base=1.0, final=0.1, total=3, warm_up=5)
    assert [schedule.rate(i) for i in range(4)] == [0.0, 0.25, 0.5, 0.1]


def test_every_group_gets_the_rate_and_a_checkpoint_restores_it() -> None:
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimiser = torch.optim.SGD([{"params": [w]} for w in weights], lr=9.0)
    schedule = WarmUpCosine(base=1.0, final=0.1, total=20, warm_up=3)
    rate = ScheduledRate(optimiser, schedule)
    assert [group["lr"] for group in optimiser.param_groups] == [0.0, 0.0]
    rate.step()
    assert [group["lr"] for group in optimiser.param_groups] == [0.5, 0.5]
    other = ScheduledRate(optimiser, schedule)
    other.load_state_dict(rate.state_dict())
    assert [group["lr"] for group in optimiser.param_groups] == [0.5, 0.5]
