"""StableAdamW: AdamW whose steps shrink where the gradient outruns its own average."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

_BETAS = (0.9, 0.999)
_EPSILON = 1e-10
_THRESHOLD = 1.0


class StableAdamW(Optimizer):
    """AdamW with clipped root mean square of the update, and a running maximum (section 4).

    Args:
        parameters: what is trained.
        lr: learning rate.
        weight_decay: decoupled, for every parameter.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float = 1e-4
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step with the gradients at hand; a closure is not supported."""
        assert closure is None, "the loss was computed before"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group["lr"], group["weight_decay"])

    def _update(self, parameter: Tensor, gradient: Tensor, lr: float, decay: float) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
                state[name] = torch.zeros_like(parameter)
        state["step"] += 1
        first, second = (1 - beta ** state["step"] for beta in _BETAS)
        parameter.mul_(1 - lr * decay)
        mean, square, largest = (
            state[name] for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
        )
        mean.lerp_(gradient, 1 - _BETAS[0])
        square.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1 - _BETAS[1])
        torch.maximum(largest, square, out=largest)
        scale = (largest.sqrt() / math.sqrt(second)).add_(_EPSILON)
        ratio = float((gradient / scale).square_().mean().sqrt())
        shrink = max(1.0, ratio / _THRESHOLD)
        parameter.addcdiv_(mean, scale, value=-lr / first / shrink)
