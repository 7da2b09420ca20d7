"""Encoders of images and texts behind one interface: CLIP, or DINOv2 beside a sentence encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brainad.encoders.clip import load_clip
from brainad.encoders.cpu_linear import use_onednn
from brainad.encoders.dinov2 import IMAGENET_MEAN, IMAGENET_STD, load_dinov2_model
from brainad.encoders.image_tower import Block, ImageTower
from brainad.encoders.sentence_encoder import load_sentence_encoder
from brainad.encoders.text_tower import TextTower
from brainad.encoders.tiny import TINY, tiny_dinov2_model, tiny_sentence_tower
from brainad.encoders.weights import find_weights, verify_weights

EMBEDDED = "dinov2_vits14+all_minilm_l6_v2"
_JOIN = "+"


@dataclass(frozen=True, eq=False)
class VisionLanguage:
    """Two frozen towers.

    Args:
        identity: what it was loaded as, and a hash of the weights of each tower.
        image: the image tower.
        text: the text tower.
        scale: factor of the cosine of an image and a text feature, where both towers were
            trained into one space (CLIP); None where a method must learn projections.
    """

    identity: str
    image: ImageTower
    text: TextTower
    scale: float | None


def load_vision_language(name: str, weights_folder: Path, device: torch.device) -> VisionLanguage:
    """Load an encoder of images and texts from this machine, without a network.

    Args:
        name: a CLIP (registry name, hub name or path of a transformers folder), a DINOv2 and a
            sentence encoder joined by ``+``, or ``"tiny"`` (random, for tests).
        weights_folder: where fetched weights are.
        device: where it computes.

    Raises:
        UsageError: weights are not here, were changed, or are of another architecture.
    """
    if name == TINY:
        image = dinov2_image_tower(tiny_dinov2_model(seed=0), device)
        return VisionLanguage(name, image, tiny_sentence_tower(seed=0, device=device), None)
    parts = name.split(_JOIN)
    folders = [find_weights(part, weights_folder) for part in parts]
    hashes = map(verify_weights, parts, folders)
    identity = " ".join([name, *hashes])
    if len(folders) == 1:
        return VisionLanguage(identity, *load_clip(folders[0], device))
    image_folder, text_folder = folders
    image = dinov2_image_tower(load_dinov2_model(image_folder), device)
    return VisionLanguage(identity, image, load_sentence_encoder(text_folder, device), None)


def dinov2_image_tower(model: Any, device: torch.device) -> ImageTower:
    """Return a DINOv2 model as an image tower; its head is the final norm."""
    frozen = model.eval().requires_grad_(False).to(device)
    if device.type == "cpu":
        use_onednn(frozen)
    config = frozen.config

    def stem(pixels: Tensor) -> Tensor:
        tokens: Tensor = frozen.embeddings(pixels)
        return tokens

    return ImageTower(
        stem=stem,
        blocks=[
            Block(
                layer,
                layer.norm1,
                layer.attention.q_proj,
                layer.attention.k_proj,
                config.num_attention_heads,
            )
            for layer in frozen.encoder.layer
        ],
        head=frozen.layernorm,
        width=config.hidden_size,
        out_width=config.hidden_size,
        patch_size=config.patch_size,
        leading=1 + int(getattr(config, "num_register_tokens", 0)),
        native_size=config.image_size,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        device=device,
    )
