"""Faster linear layers on CPUs, through the oneDNN kernels that torch ships.

For dense float32 inputs torch takes MKL by default, which on some processors reaches half the
speed of oneDNN or less (measured by benchmarks/encoder_speed.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def fast_linear(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Map (..., in) to (..., out) with a weight (out, in).

    Where gradients are needed, or torch was built without the kernel, it computes as usual.
    """
    kernel = _kernel()
    usable = kernel and features.device.type == "cpu" and features.dtype == torch.float32
    if not usable or (torch.is_grad_enabled() and features.requires_grad):
        return functional.linear(features, weight, bias)
    result: Tensor = kernel(features, weight, bias, "none", [], "")
    return result


class OneDnnLinear(nn.Module):
    """A frozen linear layer with the parameters of another, computed by `fast_linear`.

    Args:
        linear: layer whose parameters are shared.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight
        self.bias = linear.bias

    def forward(self, features: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return fast_linear(features, self.weight, self.bias)


def use_onednn(model: nn.Module) -> None:
    """Replace the linear layers of a frozen model in place, if torch has the kernel."""
    if _kernel() is None:
        return
    for name, child in model.named_children():
        if isinstance(child, nn.Linear):
            setattr(model, name, OneDnnLinear(child))
        else:
            use_onednn(child)


def _kernel() -> Any:
    """Return torch's oneDNN linear operator, or None where it was built without."""
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)
