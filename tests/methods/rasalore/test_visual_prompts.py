from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

from brainad.encoders.tiny import tiny_dinov2_model
from brainad.encoders.vision_language import dinov2_image_tower
from brainad.methods.rasalore.visual_prompts import ClassAwarePrompts, DeepPrompts

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_class_aware_prompts_are_the_golden_ones(golden: Load, fill: Callable[..., Any]) -> None:
    case = golden("cavpt")
    tokens, text = (torch.from_numpy(case[name]) for name in ("tokens", "text_features"))
    prompts = ClassAwarePrompts(tokens.shape[2], text.shape[2], text.shape[1])
    fill(prompts, case, "w.")
    made = prompts(tokens, text)
    for found, name in zip(made, ("class_prompts", "aux_logits", "attn_map"), strict=True):
        torch.testing.assert_close(found, torch.from_numpy(case[name]), rtol=1e-4, atol=1e-5)


def test_tokens_get_no_gradient_from_the_prompts_they_make() -> None:
    tokens = torch.randn(2, 5, 8, requires_grad=True)
    text = torch.randn(2, 6, requires_grad=True)
    ClassAwarePrompts(8, 6, 2)(tokens, text)[0].sum().backward()
    assert tokens.grad is None
    assert text.grad is not None


def test_deep_prompts_leave_the_number_of_tokens() -> None:
    tower = dinov2_image_tower(tiny_dinov2_model(0), torch.device("cpu"))
    prompts = DeepPrompts(2, 3, tower.width)
    tokens = tower.embed(torch.rand(2, 28, 28))
    after = prompts(tower.blocks[0], 1, tokens)
    assert after.shape == tokens.shape
    assert not torch.allclose(after, tower.blocks[0](tokens))
    after.sum().backward()
    assert prompts.tokens.grad is not None
    assert (prompts.tokens.grad[0] == 0).all()
