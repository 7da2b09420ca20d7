from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

from brainad.methods.rasalore.decoder import MaskDecoder

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_decoder_is_the_golden_one(golden: Load, fill: Callable[..., Any]) -> None:
    case = golden("mask_decoder")
    features, espe = (torch.from_numpy(case[name]) for name in ("features", "espe"))
    hidden = (case["w.tconv1.bias"].size, case["w.tconv2.bias"].size)
    decoder = MaskDecoder(
        features.shape[1], features.shape[2], espe.shape[1], hidden, int(case["n_heads"])
    ).eval()
    fill(decoder, case, "w.")
    with torch.no_grad():
        points = decoder.attend(features, espe)
        agreement = decoder.agreement(features.flatten(2).transpose(1, 2), points)
        logits = decoder(features, espe)[:, None]
        found = {
            "attn_out_ln1": points,
            "corr": agreement,
            "corr_ln2": decoder.ln2(agreement),
            "logits": logits,
            "prob": torch.sigmoid(logits),
        }
    for name, result in found.items():
        torch.testing.assert_close(result, torch.from_numpy(case[name]), rtol=1e-4, atol=1e-5)
