from __future__ import annotations

import pytest
import torch
from torch import nn

from brainad.methods.anyad.optimiser import StableAdamW
from brainad.training.schedules import WarmUpCosine
from tests.methods.anyad.golden_arrays import close, golden, tensor


def test_steps_agree_with_the_published_optimiser() -> None:
    arrays = golden("stable_adamw")
    count, steps = int(arrays["n_params"]), int(arrays["n_steps"])
    weights = [nn.Parameter(tensor(arrays[f"p{i}_init"])) for i in range(count)]
    optimiser = StableAdamW(weights, lr=0.0, weight_decay=float(arrays["weight_decay"]))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = float(arrays["lr"][step])
        for i, weight in enumerate(weights):
            weight.grad = tensor(arrays[f"g{i}_step{step}"])
        optimiser.step()
        for i, weight in enumerate(weights):
            close(weight, arrays[f"p{i}_after{step}"], rtol=0, atol=1e-6)
    for i, weight in enumerate(weights):
        for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
            close(optimiser.state[weight][name], arrays[f"p{i}_{name}"], rtol=1e-5, atol=1e-6)


def test_rates_agree_with_the_published_schedule() -> None:
    arrays = golden("lr_schedule")
    for case in range(int(arrays["n_cases"])):
        base, final, total, warm_up = arrays[f"case{case}_cfg"].tolist()
        schedule = WarmUpCosine(base, final, int(total), int(warm_up))
        expected = arrays[f"case{case}_lr"]
        rates = [schedule.rate(iteration) for iteration in range(expected.size)]
        assert rates == pytest.approx(expected.tolist(), rel=0, abs=1e-12)


def test_its_state_is_plain_and_continues_where_it_was() -> None:
    def run(steps: int, weight: nn.Parameter, optimiser: StableAdamW) -> None:
        for _ in range(steps):
            optimiser.zero_grad()
            (weight**4).sum().backward()
            optimiser.step()

    whole = nn.Parameter(torch.linspace(-1, 1, 5))
    run(6, whole, StableAdamW([whole], lr=0.1))
    first = nn.Parameter(torch.linspace(-1, 1, 5))
    before = StableAdamW([first], lr=0.1)
    run(3, first, before)
    second = nn.Parameter(first.detach().clone())
    after = StableAdamW([second], lr=0.1)
    after.load_state_dict(before.state_dict())
    run(3, second, after)
    assert torch.equal(whole, second)
