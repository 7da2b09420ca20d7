"""The published model around our parts: its encoder, image preparation and map, for parity only.

What differs from what the package does is kept here and cannot be switched on by a plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from transformers import Dinov2WithRegistersConfig

from brainad.encoders.dinov2 import DINOv2, load_dinov2
from brainad.encoders.positions import resample_positions
from tests.methods.anyad.golden_arrays import Arrays, tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LAYERS = tuple(range(3, 11))


def encoder(arrays: Arrays, grid: int, folder: Path) -> DINOv2:
    """Store a fixture's parameters as a published checkpoint and load it, for `grid`² patches."""
    prefix = "param.encoder."
    weights = {k.removeprefix(prefix): tensor(v) for k, v in arrays.items() if prefix in k}
    width = weights["cls_token"].shape[-1]
    config = Dinov2WithRegistersConfig(
        hidden_size=width,
        num_hidden_layers=10,
        num_attention_heads=int(arrays["num_heads"]),
        num_register_tokens=int(arrays["num_register_tokens"]),
        mlp_ratio=weights["blocks.0.mlp.fc1.weight"].shape[0] // width,
        image_size=grid * int(arrays["patch_size"]),
        patch_size=int(arrays["patch_size"]),
        layer_norm_eps=float(arrays["enc_ln_eps"]),
    )
    state = {
        "embeddings.cls_token": weights["cls_token"],
        "embeddings.mask_token": torch.zeros(1, width),
        "embeddings.register_tokens": weights["register_tokens"],
        "embeddings.position_embeddings": resample_positions(weights["pos_embed"], grid, grid),
        "embeddings.patch_embeddings.projection.weight": weights["patch_proj.weight"],
        "embeddings.patch_embeddings.projection.bias": weights["patch_proj.bias"],
        "layernorm.weight": torch.ones(width),
        "layernorm.bias": torch.zeros(width),
    }
    for name, value in weights.items():
        if name.startswith("blocks."):
            state.update(_block_entry(name.removeprefix("blocks."), value))
    config.save_pretrained(folder)
    whole = {name: value.contiguous() for name, value in state.items()}
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})
    return load_dinov2(folder, "published", torch.device("cpu"))


def _block_entry(name: str, value: Tensor) -> dict[str, Tensor]:
    number, _, rest = name.partition(".")
    layer = f"encoder.layer.{number}."
    if rest.startswith("attn.qkv"):
        kind = rest.rpartition(".")[2]
        parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
        return {f"{layer}attention.attention.{part}.{kind}": each for part, each in parts}
    renamed = rest.replace("attn.proj", "attention.output.dense")
    renamed = renamed.replace("ls1.gamma", "layer_scale1.lambda1")
    return {layer + renamed.replace("ls2.gamma", "layer_scale2.lambda1"): value}


def layers(adapter: DINOv2, images: Tensor, numbers: Sequence[int]) -> list[Tensor]:
    """Encode normalised (B, 3, H, W) images: per layer (B, N, C)."""
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    found = adapter.encode(images * std + mean, numbers, False)
    return [each.flatten(1, 2) for each in found]


def groups(adapter: DINOv2, images: Tensor) -> tuple[Tensor, Tensor]:
    """Encode normalised (B, 3, H, W) images: En0 and En1 as (B, N, C)."""
    found = layers(adapter, images, LAYERS)
    return torch.stack(found[:4]).mean(0), torch.stack(found[4:]).mean(0)


def min_max_rgb(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(3, h, w) grey planes → (h, w, 3): per-slice min-max, times 255, cut off to integers."""
    values = raw.astype(np.float32)
    low, high = values.min((1, 2), keepdims=True), values.max((1, 2), keepdims=True)
    scaled = (values - low) / (high - low + 1e-8)
    return np.moveaxis((scaled * 255).astype(np.uint8), 0, -1)


def crop(image: NDArray[Any], size: int) -> NDArray[Any]:
    """Keep the central square of (h, w, ...)."""
    rows, columns = ((edge - size) // 2 for edge in image.shape[:2])
    return image[rows : rows + size, columns : columns + size]


def resized_uint8(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize to a square with an antialiased triangle filter, rounded to integers."""
    planes = torch.from_numpy(np.ascontiguousarray(image)).float()
    stacked = planes.permute(2, 0, 1)[None] if planes.ndim == 3 else planes[None, None]
    found = F.interpolate(stacked, (size, size), mode="bilinear", antialias=True)[0]
    whole = found.round().clamp(0, 255).to(torch.uint8).numpy()
    return np.moveaxis(whole, 0, -1) if planes.ndim == 3 else whole[0]


def normalised(rgb: NDArray[np.uint8]) -> Tensor:
    """(h, w, 3) uint8 → (3, h, w) with ImageNet statistics."""
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    return (torch.from_numpy(np.moveaxis(rgb, -1, 0).copy()).float() / 255 - mean) / std


def smoothed(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Filter (B, 1, h, w) with 5 × 5, σ = 4, zero padding; returns the kernel too."""
    offsets = torch.arange(-2, 3).float()
    line = torch.exp(-(offsets**2) / (2 * 4.0**2))
    kernel = line[:, None] * line
    kernel = kernel / kernel.sum()
    return F.conv2d(maps, kernel[None, None], padding=2), kernel
