"""What every encoder offers, and the one way to obtain one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from brainad.encoders.dinov2 import load_dinov2
from brainad.encoders.tiny import TINY, tiny_encoder
from brainad.encoders.weights import find_weights, verify_weights


class Encoder(Protocol):
    """A frozen network that turns 2D slices into one vector per square patch.

    Attributes:
        identity: what it was loaded as, and a hash of its weights.
        patch_size: edge of a patch in pixels; slice sizes are multiples of it.
        width: length of the vector of one patch.
        depth: number of blocks, hence the highest layer.
        device: where it computes and where its results are.
    """

    identity: str
    patch_size: int
    width: int
    depth: int
    device: torch.device

    def encode(self, slices: Tensor, layers: Sequence[int], final_norm: bool) -> list[Tensor]:
        """Return the patch tokens after each of the blocks asked for.

        Args:
            slices: (n, height, width) grey or (n, 3, height, width) colour, float32 in [0, 1];
                height and width are multiples of `patch_size` and may differ.
            layers: blocks counted from 1, each at most `depth`, in any order.
            final_norm: whether the encoder's final LayerNorm is applied to each result.

        Returns:
            One (n, height / patch_size, width / patch_size, width) float32 tensor per entry of
            ``layers``, on the encoder's device; class and register tokens are left out.

        Raises:
            ValueError: a size is not a multiple of `patch_size`, or a layer does not exist.
        """
        ...


def load_encoder(
    name: str, weights_folder: Path, device: torch.device, published_positions: bool = False
) -> Encoder:
    """Load an encoder from this machine, without a network.

    Args:
        name: ``"tiny"`` (random, for tests), a registry name, or the path of a DINOv2
            transformers folder.
        weights_folder: where fetched weights are.
        device: where it computes.
        published_positions: resample position embeddings as DINOv2's authors do, not as
            transformers does.

    Raises:
        UsageError: the weights are not here, were changed, or are not a DINOv2.
    """
    if name == TINY:
        encoder = tiny_encoder(seed=0, device=device)
    else:
        folder = find_weights(name, weights_folder)
        identity = f"{name} {verify_weights(name, folder)}"
        encoder = load_dinov2(folder, identity, device)
    if published_positions:
        encoder.use_published_positions()
    return encoder
