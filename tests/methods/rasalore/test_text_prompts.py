from __future__ import annotations

import torch

from brainad.encoders.tiny import tiny_sentence_tower
from brainad.methods.rasalore.text_prompts import TextPrompts

TOWER = tiny_sentence_tower(0, torch.device("cpu"))


def test_the_class_word_stands_in_the_middle_or_at_the_end() -> None:
    word, stop = TOWER.embed("Unhealthy"), TOWER.embed(".")
    for position, before in (("middle", 2), ("end", 4)):
        prompts = TextPrompts(TOWER, ("Healthy", "Unhealthy"), 4, position)  # type: ignore[arg-type]
        row = prompts.assemble().embeddings[1]
        assert len(row) == 1 + 4 + 1 + 1 + 1
        assert torch.equal(row[1 : 1 + before], prompts.context[:before])
        assert torch.equal(row[1 + before], word[0])
        assert torch.equal(row[2 + before : 6], prompts.context[before:])
        assert torch.equal(row[6], stop[0])


def test_only_the_context_learns() -> None:
    prompts = TextPrompts(TOWER, ("Healthy", "Unhealthy"), 4, "middle")
    prompts().square().sum().backward()
    (context,) = prompts.parameters()
    assert context.grad is not None
    assert context.grad.abs().sum(1).gt(0).all()
