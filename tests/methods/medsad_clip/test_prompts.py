from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from brainad.encoders.clip import clip_text_tower
from brainad.encoders.text_tower import TextTower
from brainad.methods.medsad_clip.prompts import LearnablePrompts, spoken_rows

Golden = Callable[[str], Any]
_CPU = torch.device("cpu")
_START, _END, _PERIOD = 49406, 49407, 269


def vocabulary(known: Any, texts: str, ids: str) -> dict[str, list[int]]:
    """Read from a golden file which ids each text has, without start and end."""
    words = {}
    for text, row in zip(known.arrays[texts].tolist(), known[ids].tolist(), strict=True):
        words[text] = row[1 : row.index(_END)]
    return {**words, ".": [_PERIOD]}


def golden_prompts(
    known: Any, model: Any, learnable: torch.Tensor | None = None
) -> tuple[TextTower, LearnablePrompts]:
    words = vocabulary(known, "anchors", "anchor_ids")
    tower = clip_text_tower(model, words.__getitem__, (_START, _END), _CPU)
    normal, abnormal = known.arrays["anchors"].tolist()
    prompts = LearnablePrompts((normal, abnormal), int(known["n_learnable"]), tower.width)
    vectors = torch.stack([known["ctx_normal"], known["ctx_abnormal"]])
    with torch.no_grad():
        prompts.vectors.copy_(vectors if learnable is None else learnable)
    return tower, prompts


def test_prompts_are_put_together_as_in_the_golden_file(
    golden: Golden, golden_text: Callable[..., Any]
) -> None:
    known = golden("text")
    tower, prompts = golden_prompts(known, golden_text(known))
    found = prompts(tower)
    ends = known["eot_index"].tolist()
    assert found.lengths.tolist() == [end + 1 for end in ends]
    assert ends == (known["anchor_len"] + int(known["n_learnable"]) + 2).tolist()
    for row, end in enumerate(ends):
        own = found.embeddings[row, : end + 1]
        assert torch.allclose(own, known["prompts_front"][row, : end + 1], atol=1e-6)
        # The published code's other orders put learnt tokens before or among the words.
        for order in ("middle", "end"):
            assert not torch.allclose(own, known[f"prompts_{order}"][row, : end + 1], atol=1e-3)


def test_encoded_rows_and_prototypes_match_the_golden_file(
    golden: Golden, golden_text: Callable[..., Any]
) -> None:
    known = golden("text")
    tower, prompts = golden_prompts(known, golden_text(known))
    assembled = prompts(tower)
    tokens, _ = tower.encode(assembled)
    for row, length in enumerate(assembled.lengths.tolist()):
        own = tokens[row, :length]
        assert torch.allclose(own, known["tokens_causal"][row, :length], atol=1e-5)
        # Without the mask, which the published code forgets, the rows are others.
        assert not torch.allclose(own, known["tokens_noncausal"][row, :length], atol=1e-3)
        assert known["valid_mask"][row].nonzero()[:, 0].tolist() == list(range(1, length))
    rows = spoken_rows(tokens, assembled, end_speaks=True)
    means = torch.stack([each.mean(0) for each in rows])
    assert torch.allclose(means, known["proto_masked_mean"], atol=1e-5)
    assert not torch.allclose(means, known["proto_full_mean"], atol=1e-3)


def test_plain_anchors_are_encoded_like_in_the_golden_file(
    golden: Golden, golden_text: Callable[..., Any]
) -> None:
    known = golden("text")
    tower, _ = golden_prompts(known, golden_text(known))
    found = tower.encode_words(known.arrays["anchors"].tolist())
    assert torch.allclose(found, known["anchor_features"], atol=1e-5)


def test_words_do_not_depend_on_what_is_learnt(
    golden: Golden, golden_text: Callable[..., Any]
) -> None:
    known = golden("text")
    model = golden_text(known)
    tower, prompts = golden_prompts(known, model)
    learnt = torch.randn(2, int(known["n_learnable"]), tower.width)
    _, others = golden_prompts(known, model, learnt)
    one, other = tower.encode(prompts(tower))[0], tower.encode(others(tower))[0]
    for row, words in enumerate(known["anchor_len"].tolist()):
        assert torch.allclose(one[row, : words + 1], other[row, : words + 1], atol=1e-6)
        assert not torch.allclose(one[row, words + 1 :], other[row, words + 1 :], atol=1e-3)


def test_token_ids_follow_the_golden_file(golden: Golden, golden_text: Callable[..., Any]) -> None:
    known, weights = golden("tokens"), golden("text")
    words = vocabulary(known, "anchors", "ids")
    model = golden_text(weights)
    identity = torch.arange(60000, dtype=torch.float32)[:, None].expand(-1, 8).clone()
    model.text_model.embeddings.token_embedding.weight.data = identity
    tower = clip_text_tower(model, words.__getitem__, (_START, _END), _CPU)
    for row, text in enumerate(known.arrays["anchors"].tolist()):
        found = tower.assemble([[text]])
        length = int(found.lengths[0])
        assert found.embeddings[0, :, 0].long().tolist() == known["ids"][row, :length].tolist()
        assert length - 2 == int(known["anchor_len"][row])
        assert length - 1 == int(known["eot_index"][row])


@pytest.mark.parametrize(("end_speaks", "rows"), [(True, 3), (False, 2)])
def test_start_end_and_padding_are_left_out(
    golden: Golden, golden_text: Callable[..., Any], end_speaks: bool, rows: int
) -> None:
    known = golden("text")
    tower, _ = golden_prompts(known, golden_text(known))
    prompts = tower.assemble([[torch.zeros(2, 8)], [torch.zeros(5, 8)]])
    tokens = torch.arange(7.0)[None, :, None].expand(2, 7, 1)
    short, long = spoken_rows(tokens, prompts, end_speaks)
    assert short[:, 0].tolist() == [1.0, 2.0, 3.0][:rows]
    assert long.shape == (rows + 3, 1)
