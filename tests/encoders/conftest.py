"""A tiny CLIP in the format of published ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPConfig, CLIPModel

WORDS = ("a", "photo", "of", "healthy", "unhealthy", "brain", ".")


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    """Save a random CLIP of 3 image and 2 text blocks with a tokeniser of 7 words."""
    words = {word: index for index, word in enumerate(WORDS)}
    vocabulary = {**words, "<|startoftext|>": 7, "<|endoftext|>": 8}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="."))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path / "clip"
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = CLIPConfig(
        text_config={
            "vocab_size": len(vocabulary),
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 20,
            "bos_token_id": 7,
            "eos_token_id": 8,
        },
        vision_config={
            "hidden_size": 24,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 3,
            "image_size": 32,
            "patch_size": 8,
        },
        projection_dim=12,
    )
    torch.manual_seed(0)
    model = CLIPModel(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    return folder
