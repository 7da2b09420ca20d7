from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from brainad.methods.rasalore.encoder import EncoderBlock, ImageEncoder

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_block_is_the_golden_one(golden: Load, fill: Callable[..., Any]) -> None:
    case = golden("encoder_blocks")
    block = EncoderBlock(case["x"].shape[1], case["features"].shape[1], dropout=0.1).eval()
    fill(block, case, "w.")
    assert block.norm.eps == pytest.approx(float(case["channel_ln_eps"]))
    features = block(torch.from_numpy(case["x"]))
    expected = torch.from_numpy(case["features"])
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    pooled = F.max_pool2d(features, 2)
    torch.testing.assert_close(pooled, torch.from_numpy(case["pooled"]), rtol=1e-4, atol=1e-5)


def test_only_one_halving() -> None:
    first, embedding = ImageEncoder((2, 3, 4, 6), 0.1)(torch.rand(1, 1, 16, 16))
    assert first.shape == (1, 2, 16, 16)
    assert embedding.shape == (1, 6, 8, 8)
