"""Small random encoders for tests: real interface and geometry, no weight file."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import nn
from transformers import BertConfig, BertModel, Dinov2Config, Dinov2Model

from brainad.encoders.dinov2 import DINOv2
from brainad.encoders.sentence_encoder import sentence_tower
from brainad.encoders.text_tower import TextTower

TINY = "tiny"
_WORDS = 200
_SPECIAL = 2


def tiny_encoder(seed: int, device: torch.device) -> DINOv2:
    """Return a ViT of 4 blocks, width 32 and patch 14; the same seed gives the same weights."""
    return DINOv2(tiny_dinov2_model(seed), TINY, device)


def tiny_dinov2_model(seed: int) -> Any:
    """Return the transformers model of `tiny_encoder`.

    Matrices are normal with variance 1 / fan-in and position embeddings are small, so tokens
    answer to what a patch shows rather than to where it is.
    """
    config = Dinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=56,
        patch_size=14,
        use_mask_token=False,
    )
    # The constructor draws from the global generator before the weights are set below.
    with torch.random.fork_rng(devices=[]):
        model = Dinov2Model(config)
    _draw_weights(model, seed)
    return model


def tiny_sentence_tower(seed: int, device: torch.device) -> TextTower:
    """Return a text tower of 2 blocks and width 24 whose vocabulary is a hash of the word."""
    config = BertConfig(
        vocab_size=_WORDS + _SPECIAL,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        model = BertModel(config, add_pooling_layer=False)
    _draw_weights(model, seed)
    return sentence_tower(model, _hash_words, (0, 1), device)


def _hash_words(words: str) -> list[int]:
    return [_SPECIAL + zlib.crc32(word.encode()) % _WORDS for word in words.lower().split()]


def _draw_weights(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embeddings" in name and parameter.ndim == 3:
                parameter.normal_(std=0.02, generator=generator)
            elif parameter.ndim > 1:
                std = parameter[0].numel() ** -0.5
                parameter.normal_(std=std, generator=generator)
