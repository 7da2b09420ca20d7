from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from brainad.methods.medsad_clip.token_patch_attention import TokenPatchAttention, fuse

Golden = Callable[[str], Any]


def known_attention(known: Any) -> TokenPatchAttention:
    attention = TokenPatchAttention(known["wq"].shape[0], int(known["heads"]))
    attention.load_state_dict(
        {
            "to_query.weight": known["wq"],
            "to_query.bias": known["bq"],
            "to_key.weight": known["wk"],
            "to_key.bias": known["bk"],
        }
    )
    return attention


def test_attention_and_fusion_match_the_golden_file(golden: Golden) -> None:
    known = golden("tpca")
    attention = known_attention(known)
    text, patches = known["text_tokens"], known["patch_tokens"]
    assert torch.allclose(attention.per_head(text, patches), known["attn"], atol=1e-5)
    weights = attention(text, patches)
    assert torch.allclose(weights, known["attn_avg"], atol=1e-5)
    assert torch.allclose(weights.transpose(1, 2), known["attn_swapped"], atol=1e-5)
    assert torch.allclose(fuse(patches, weights, rescale=False), known["fused"], atol=1e-5)
    assert torch.allclose(fuse(patches, weights, rescale=True), known["fused_rescaled"], atol=1e-5)


def test_attention_equals_the_slow_one_and_sums_to_one_over_patches() -> None:
    torch.manual_seed(1)
    attention = TokenPatchAttention(6, 3)
    text, patches = torch.randn(4, 6), torch.randn(2, 5, 6)
    with torch.no_grad():
        found = attention(text, patches).numpy()
        query, key = attention.to_query(text).numpy(), attention.to_key(patches).numpy()
    expected = np.zeros((2, 4, 5))
    for image, row, head in np.ndindex(2, 4, 3):
        part = slice(2 * head, 2 * head + 2)
        scores = np.exp(key[image, :, part] @ query[row, part] / np.sqrt(2))
        expected[image, row] += scores / scores.sum() / 3
    assert np.abs(found - expected).max() < 1e-6
    assert np.allclose(found.sum(2), 1, atol=1e-6)
