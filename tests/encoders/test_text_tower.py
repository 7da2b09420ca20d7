from __future__ import annotations

import pytest
import torch

from brainad.encoders.tiny import tiny_sentence_tower

TOWER = tiny_sentence_tower(0, torch.device("cpu"))


def test_words_and_embeddings_are_put_in_order() -> None:
    context = torch.ones(2, TOWER.width)
    prompts = TOWER.assemble([[context, "healthy", context[:1]], ["brain"]])
    assert prompts.embeddings.shape == (2, 6, TOWER.width)
    assert prompts.lengths.tolist() == [6, 3]
    assert prompts.valid.tolist() == [[True] * 6, [True] * 3 + [False] * 3]
    ends = TOWER.embedding.weight[[TOWER.start, TOWER.end]]
    assert torch.equal(prompts.embeddings[0, [0, 5]], ends)
    assert torch.equal(prompts.embeddings[0, 3:4], TOWER.embed("healthy"))
    assert torch.equal(prompts.embeddings[0, [1, 2, 4]], torch.ones(3, TOWER.width))
    assert (prompts.embeddings[1, 3:] == 0).all()


def test_padding_changes_no_feature() -> None:
    alone = TOWER.encode_words(["a healthy brain"])
    together = TOWER.encode_words(["a healthy brain", "a photo of an unhealthy human brain"])
    torch.testing.assert_close(together[:1], alone)


def test_prompts_that_are_too_long_are_refused() -> None:
    with pytest.raises(ValueError, match="64 is the limit"):
        TOWER.assemble([[torch.zeros(63, TOWER.width)]])
