"""A small random DINOv2 for tests: real interface and geometry, no weight file."""

from __future__ import annotations

import torch
from transformers import Dinov2Config, Dinov2Model

from brainad.encoders.dinov2 import DINOv2

TINY = "tiny"


def tiny_encoder(seed: int, device: torch.device) -> DINOv2:
    """Return a ViT of 4 blocks, width 32 and patch 14; the same seed gives the same weights.

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
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embeddings" in name and parameter.ndim == 3:
                parameter.normal_(std=0.02, generator=generator)
            elif parameter.ndim > 1:
                std = parameter[0].numel() ** -0.5
                parameter.normal_(std=std, generator=generator)
    return DINOv2(model, TINY, device)
