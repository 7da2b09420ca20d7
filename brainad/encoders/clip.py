"""CLIP (Radford et al. 2021) from transformers, as an image tower and a text tower."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPModel

from brainad.encoders.cpu_linear import use_onednn
from brainad.encoders.image_tower import Block, ImageTower, resize_positions
from brainad.encoders.pretrained import load_pretrained, model_type
from brainad.encoders.text_tower import Prompts, TextTower
from brainad.encoders.tokens import load_tokenizer, tokeniser, vocabulary_id
from brainad.errors import UsageError

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
_START, _END = "<|startoftext|>", "<|endoftext|>"


def load_clip(folder: Path, device: torch.device) -> tuple[ImageTower, TextTower, float]:
    """Load a CLIP transformers folder: two frozen towers and the scale of their cosines.

    Raises:
        UsageError: the folder holds another architecture, or is incomplete.
    """
    if model_type(folder) != "clip":
        raise UsageError(
            f"not a CLIP model: model_type is {model_type(folder)!r}",
            where=str(folder / "config.json"),
            fix="name a CLIP, or an image and a text encoder joined by +",
        )
    model = load_pretrained(CLIPModel, folder)
    tokenizer = load_tokenizer(folder)
    start, end = (vocabulary_id(tokenizer, token, folder) for token in (_START, _END))
    scale = float(model.logit_scale.detach().exp())
    return (
        clip_image_tower(model, device),
        clip_text_tower(model, tokeniser(tokenizer), (start, end), device),
        scale,
    )


def clip_image_tower(model: Any, device: torch.device) -> ImageTower:
    """Return the image side of a CLIP model; class tokens are projected into the shared space."""
    vision = model.vision_model.eval().requires_grad_(False).to(device)
    projection = model.visual_projection.eval().requires_grad_(False).to(device)
    heads = vision.config.num_attention_heads
    if device.type == "cpu":
        use_onednn(vision)

    def stem(pixels: Tensor) -> Tensor:
        embeddings = vision.embeddings
        patches = embeddings.patch_embedding(pixels)
        positions = resize_positions(embeddings.position_embedding.weight, patches.shape[2:])
        classes = embeddings.class_embedding.expand(len(pixels), 1, -1)
        tokens = torch.cat([classes, patches.flatten(2).transpose(1, 2)], 1) + positions
        normed: Tensor = vision.pre_layrnorm(tokens)
        return normed

    return ImageTower(
        stem=stem,
        blocks=[
            Block(layer, layer.layer_norm1, layer.self_attn.q_proj, layer.self_attn.k_proj, heads)
            for layer in vision.encoder.layers
        ],
        head=lambda tokens: projection(vision.post_layernorm(tokens)),
        width=vision.config.hidden_size,
        out_width=projection.out_features,
        patch_size=vision.config.patch_size,
        leading=1,
        native_size=vision.config.image_size,
        mean=_MEAN,
        std=_STD,
        device=device,
    )


def clip_text_tower(
    model: Any,
    tokenise: Callable[[str], Sequence[int]],
    ends: tuple[int, int],
    device: torch.device,
) -> TextTower:
    """Return the text side of a CLIP model: causal, the end token speaks for the text.

    Sequences are cut after the longest end token, which under the causal mask changes nothing.

    Args:
        model: of transformers.
        tokenise: words → token ids.
        ends: ids of the start and the end token.
        device: where it computes.
    """
    text = model.text_model.eval().requires_grad_(False).to(device)
    projection = model.text_projection.eval().requires_grad_(False).to(device)
    if device.type == "cpu":
        use_onednn(text)

    def transform(prompts: Prompts) -> Tensor:
        tokens = text.embeddings(inputs_embeds=prompts.embeddings)
        length = tokens.shape[1]
        mask = tokens.new_full((1, 1, length, length), -torch.inf).triu(1)
        for layer in text.encoder.layers:
            tokens = layer(tokens, attention_mask=mask)
        projected: Tensor = projection(text.final_layer_norm(tokens))
        return projected

    return TextTower(
        tokenise=tokenise,
        embedding=text.embeddings.token_embedding,
        start=ends[0],
        end=ends[1],
        transform=transform,
        pooling="end",
        width=text.config.hidden_size,
        out_width=projection.out_features,
        context=text.config.max_position_embeddings,
        device=device,
    )
