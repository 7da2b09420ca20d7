from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import CLIPConfig, CLIPModel

GOLDEN = Path(__file__).parents[2] / "golden" / "medsad_clip"


class Golden:
    """A golden file; numbers come as torch tensors."""

    def __init__(self, name: str) -> None:
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
            self.arrays: dict[str, NDArray[Any]] = dict(arrays)

    def __getitem__(self, key: str) -> torch.Tensor:
        return torch.from_numpy(np.array(self.arrays[key]))


@pytest.fixture
def golden() -> Callable[[str], Golden]:
    """Load a golden file by name."""
    return Golden


def _block_weights(known: Golden, number: int, prefix: str) -> dict[str, torch.Tensor]:
    """Name the weights of one golden transformer block as transformers does."""
    weights = {}
    for kind, ending in (("w", "weight"), ("b", "bias")):
        parts = known[f"qkv_{kind}"][number].chunk(3)
        for name, part in zip(("q_proj", "k_proj", "v_proj"), parts, strict=True):
            weights[f"self_attn.{name}.{ending}"] = part
        for theirs, ours in (
            ("out", "self_attn.out_proj"),
            ("ln1", "layer_norm1"),
            ("ln2", "layer_norm2"),
            ("fc1", "mlp.fc1"),
            ("fc2", "mlp.fc2"),
        ):
            weights[f"{ours}.{ending}"] = known[f"{theirs}_{kind}"][number]
    return {f"{prefix}.encoder.layers.{number}.{name}": value for name, value in weights.items()}


def _clip(vision: dict[str, Any], text: dict[str, Any], shared: int) -> Any:
    small = {"hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1,
             "num_attention_heads": 1}  # fmt: skip
    config = CLIPConfig(
        text_config={**small, "vocab_size": 60000, **text},
        vision_config={**small, "image_size": 14, "patch_size": 14, **vision},
        projection_dim=shared,
    )
    return CLIPModel(config).eval()


def _load(model: Any, weights: dict[str, torch.Tensor], side: str) -> None:
    _, unexpected = model.load_state_dict(weights, strict=False)
    expected = {name for name, _ in model.named_parameters() if name.startswith(side)}
    assert unexpected == []
    assert expected <= set(weights)


@pytest.fixture
def golden_vision() -> Callable[[Golden, str], Any]:
    """Make a CLIP whose vision side has the weights of the golden trunk."""

    def make(known: Golden, activation: str) -> Any:
        layers, width = known["ln1_w"].shape
        sizes = {
            "hidden_size": width,
            "intermediate_size": known["fc1_w"].shape[1],
            "num_hidden_layers": layers,
            "num_attention_heads": int(known["heads"]),
            "image_size": known["pixel_values"].shape[2],
            "hidden_act": activation,
        }
        model = _clip(sizes, {}, known["proj"].shape[1])
        weights = {
            "vision_model.embeddings.class_embedding": known["class_embedding"],
            "vision_model.embeddings.patch_embedding.weight": known["conv1_w"],
            "vision_model.embeddings.position_embedding.weight": known["positional_embedding"],
            "vision_model.pre_layrnorm.weight": known["ln_pre_w"],
            "vision_model.pre_layrnorm.bias": known["ln_pre_b"],
            "vision_model.post_layernorm.weight": known["ln_post_w"],
            "vision_model.post_layernorm.bias": known["ln_post_b"],
            "visual_projection.weight": known["proj"].T,
        }
        for number in range(layers):
            weights |= _block_weights(known, number, "vision_model")
        _load(model, weights, "vis")
        return model

    return make


@pytest.fixture
def golden_text() -> Callable[[Golden], Any]:
    """Make a CLIP whose text side has the weights of the golden text tower."""

    def make(known: Golden) -> Any:
        layers, width = known["ln1_w"].shape
        sizes = {
            "hidden_size": width,
            "intermediate_size": known["fc1_w"].shape[1],
            "num_hidden_layers": layers,
            "num_attention_heads": int(known["heads"]),
            "max_position_embeddings": known["positional_embedding"].shape[0],
            "hidden_act": "quick_gelu" if int(known["quick_gelu"]) else "gelu",
        }
        model = _clip({}, sizes, known["text_projection"].shape[1])
        vocabulary = torch.zeros(60000, width)
        vocabulary[known["vocab_ids"].long()] = known["vocab_emb"]
        weights = {
            "text_model.embeddings.token_embedding.weight": vocabulary,
            "text_model.embeddings.position_embedding.weight": known["positional_embedding"],
            "text_model.final_layer_norm.weight": known["ln_final_w"],
            "text_model.final_layer_norm.bias": known["ln_final_b"],
            "text_projection.weight": known["text_projection"].T,
        }
        for number in range(layers):
            weights |= _block_weights(known, number, "text_model")
        _load(model, weights, "text")
        return model

    return make
