"""DINOv2 vision transformers (Oquab et al. 2024), with and without registers, from transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Dinov2Model, Dinov2WithRegistersModel

from brainad.encoders.cpu_linear import use_onednn
from brainad.encoders.positions import resample_positions
from brainad.encoders.pretrained import load_pretrained, model_type
from brainad.errors import UsageError

_MODEL_TYPES: dict[str, Any] = {
    "dinov2": Dinov2Model,
    "dinov2_with_registers": Dinov2WithRegistersModel,
}
# A plane of this value is 0 after normalisation and adds nothing to the patch embedding.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Used in pre-training only.
_UNUSED_KEYS = frozenset({"embeddings.mask_token"})


class DINOv2:
    """A frozen DINOv2 model as an `Encoder`.

    The position embeddings fit any slice size that is a multiple of the patch size: the model
    interpolates them (bicubic, corners not aligned), for non-square slices too.
    """

    def __init__(self, model: Any, identity: str, device: torch.device) -> None:
        self.identity = identity
        self.device = device
        self.patch_size = int(model.config.patch_size)
        self.width = int(model.config.hidden_size)
        self.depth = int(model.config.num_hidden_layers)
        self._extra_tokens = 1 + int(getattr(model.config, "num_register_tokens", 0))
        self._model = model.eval().requires_grad_(False).to(device)
        if device.type == "cpu":
            use_onednn(self._model)
        self._mean = torch.tensor(IMAGENET_MEAN, device=device).view(3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=device).view(3, 1, 1)

    def use_published_positions(self) -> None:
        """Resample position embeddings as DINOv2's authors do, not as transformers does."""

        def resample(_tokens: Tensor, height: int, width: int) -> Tensor:
            table = self._model.embeddings.position_embeddings
            return resample_positions(table, height // self.patch_size, width // self.patch_size)

        self._model.embeddings.interpolate_pos_encoding = resample

    @torch.no_grad()
    def encode(self, slices: Tensor, layers: Sequence[int], final_norm: bool) -> list[Tensor]:
        """See `Encoder.encode`; blocks above the highest layer asked for are not run.

        On CUDA, blocks compute in float16 (autocast) and results are float32 again.
        """
        self._check(slices, layers)
        rows, columns = (size // self.patch_size for size in slices.shape[-2:])
        wanted = {}
        with torch.autocast("cuda", torch.float16, enabled=self.device.type == "cuda"):
            hidden = self._model.embeddings(self._to_pixels(slices))
            for layer, block in enumerate(self._model.encoder.layer[: max(layers)], start=1):
                hidden = block(hidden)
                if layer in layers:
                    tokens = self._model.layernorm(hidden) if final_norm else hidden
                    patches = tokens[:, self._extra_tokens :].float()
                    wanted[layer] = patches.unflatten(1, (rows, columns))
        return [wanted[layer] for layer in layers]

    def _to_pixels(self, slices: Tensor) -> Tensor:
        """Grey (n, h, w) or colour (n, 3, h, w) in [0, 1] → (n, 3, h, w), ImageNet statistics."""
        images = slices[:, None] if slices.ndim == 3 else slices
        return (images.to(self.device) - self._mean) / self._std

    def _check(self, slices: Tensor, layers: Sequence[int]) -> None:
        is_grey, is_colour = slices.ndim == 3, slices.ndim == 4 and slices.shape[1] == 3
        fits = not any(size % self.patch_size for size in slices.shape[-2:])
        if not ((is_grey or is_colour) and fits):
            raise ValueError(
                f"slices must be (n, height, width) or (n, 3, height, width) in multiples of "
                f"{self.patch_size}, not {tuple(slices.shape)}"
            )
        if not layers or min(layers) < 1 or max(layers) > self.depth:
            raise ValueError(f"layers must lie in 1..{self.depth}, not {list(layers)}")


def load_dinov2(folder: Path, identity: str, device: torch.device) -> DINOv2:
    """Load a transformers folder with safetensors weights; never touches the network.

    Raises:
        UsageError: the folder holds another architecture or its weights are incomplete.
    """
    return DINOv2(load_dinov2_model(folder), identity, device)


def load_dinov2_model(folder: Path) -> Any:
    """Load the transformers model in such a folder; raises like `load_dinov2`."""
    model_class = _MODEL_TYPES.get(model_type(folder))
    if model_class is None:
        raise UsageError(
            f"not a DINOv2 model: model_type is {model_type(folder)!r}",
            where=str(folder / "config.json"),
            fix=f"use a folder whose model_type is one of {', '.join(_MODEL_TYPES)}",
        )
    return load_pretrained(model_class, folder, _UNUSED_KEYS)
