from __future__ import annotations

import pytest
import torch
from torch import nn

from brainad.encoders import cpu_linear
from brainad.encoders.cpu_linear import OneDnnLinear, use_onednn


@pytest.mark.parametrize("bias", [True, False])
def test_the_result_is_that_of_the_layer(bias: bool) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(24, 40, bias=bias).requires_grad_(False)
    features = torch.randn(3, 7, 24)
    with torch.no_grad():
        torch.testing.assert_close(OneDnnLinear(linear)(features), linear(features))


def test_gradients_still_pass_to_the_input() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(4, 2).requires_grad_(False)
    features = torch.randn(5, 4, requires_grad=True)
    OneDnnLinear(linear)(features).sum().backward()
    assert features.grad is not None
    torch.testing.assert_close(features.grad, linear.weight.sum(0).expand(5, 4))


def test_every_linear_layer_is_replaced_and_nothing_else() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.GELU(), nn.Linear(3, 1)), nn.ReLU())
    use_onednn(model)
    kinds = [type(module) for module in model.modules() if not list(module.children())]
    assert kinds == [OneDnnLinear, nn.GELU, OneDnnLinear, nn.ReLU]


def test_a_torch_without_the_kernel_keeps_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_linear, "_kernel", lambda: None)
    model = nn.Sequential(nn.Linear(3, 3))
    use_onednn(model)
    assert type(model[0]) is nn.Linear
