from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

from brainad.methods.rasalore.attention import RegionAwareAttention

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_attention_is_the_golden_one(golden: Load, fill: Callable[..., Any]) -> None:
    case = golden("rasa")
    refined = torch.from_numpy(case["refined"]).requires_grad_()
    cells = refined.shape[2] * refined.shape[3]
    hidden = (case["w.ffn.fc1.bias"].size, case["w.ffn.fc2.bias"].size)
    attention = RegionAwareAttention(refined.shape[1], cells, int(case["n_heads"]), hidden).eval()
    fill(attention, case, "w.")
    embeddings, activations = attention(refined, torch.from_numpy(case["lore"]))
    for found, name in ((embeddings, "espe"), (activations, "activations")):
        torch.testing.assert_close(found, torch.from_numpy(case[name]), rtol=1e-4, atol=1e-5)
    (embeddings.square().mean() + activations.sum()).backward()
    torch.testing.assert_close(
        refined.grad, torch.from_numpy(case["grad_refined"]), rtol=1e-4, atol=1e-5
    )
