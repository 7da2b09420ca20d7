"""Sentence encoders of the BERT family (all-MiniLM-L6-v2 and its kin) as a text tower."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BertModel

from brainad.encoders.cpu_linear import use_onednn
from brainad.encoders.pretrained import load_pretrained, model_type
from brainad.encoders.text_tower import Prompts, TextTower
from brainad.encoders.tokens import load_tokenizer, tokeniser, vocabulary_id
from brainad.errors import UsageError

_START, _END = "[CLS]", "[SEP]"


def load_sentence_encoder(folder: Path, device: torch.device) -> TextTower:
    """Load a BERT transformers folder with mean pooling.

    Raises:
        UsageError: the folder holds another architecture, or is incomplete.
    """
    if model_type(folder) != "bert":
        raise UsageError(
            f"not a sentence encoder: model_type is {model_type(folder)!r}",
            where=str(folder / "config.json"),
            fix="use a folder whose model_type is bert",
        )
    model = load_pretrained(BertModel, folder, add_pooling_layer=False)
    tokenizer = load_tokenizer(folder)
    start, end = (vocabulary_id(tokenizer, token, folder) for token in (_START, _END))
    return sentence_tower(model, tokeniser(tokenizer), (start, end), device)


def sentence_tower(
    model: Any,
    tokenise: Callable[[str], Sequence[int]],
    ends: tuple[int, int],
    device: torch.device,
) -> TextTower:
    """Return a BERT model as a text tower: every token sees all, their mean is the feature.

    Args:
        model: of transformers, without pooling layer.
        tokenise: words → token ids.
        ends: ids of the start and the end token.
        device: where it computes.
    """
    bert = model.eval().requires_grad_(False).to(device)
    if device.type == "cpu":
        use_onednn(bert)

    def transform(prompts: Prompts) -> Tensor:
        states = bert(inputs_embeds=prompts.embeddings, attention_mask=prompts.valid.long())
        tokens: Tensor = states.last_hidden_state
        return tokens

    return TextTower(
        tokenise=tokenise,
        embedding=bert.embeddings.word_embeddings,
        start=ends[0],
        end=ends[1],
        transform=transform,
        pooling="mean",
        width=bert.config.hidden_size,
        out_width=bert.config.hidden_size,
        context=bert.config.max_position_embeddings,
        device=device,
    )
