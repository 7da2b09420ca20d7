"""Where images and texts meet: the space of CLIP, or learned projections (2.5, 10.7)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainad.encoders.vision_language import VisionLanguage

_WIDTH = 256
_START = math.log(1 / 0.07)
_LARGEST = math.log(100)


class AlignedSpace(nn.Module):
    """Both towers were trained into one space; the scale of their cosine is frozen.

    Args:
        towers: with a scale.
    """

    def __init__(self, towers: VisionLanguage) -> None:
        super().__init__()
        if towers.scale is None:
            raise ValueError("the towers have no space in common")
        self.text_width = towers.text.out_width
        self._scale = towers.scale

    def image(self, features: Tensor) -> Tensor:
        """Return image features (..., width) as they are."""
        return features

    def text(self, features: Tensor) -> Tensor:
        """Return text features (..., width) as they are."""
        return features

    @property
    def scale(self) -> Tensor:
        """Factor of the cosine."""
        return torch.tensor(self._scale)


class LearnedSpace(nn.Module):
    """Two towers that never met, joined by learned projections and a learned temperature.

    Args:
        towers: of any widths.
    """

    def __init__(self, towers: VisionLanguage) -> None:
        super().__init__()
        self.text_width = _WIDTH
        self._image = _projection(towers.image.out_width)
        self._text = _projection(towers.text.out_width)
        self.log_scale = nn.Parameter(torch.tensor(_START))

    def image(self, features: Tensor) -> Tensor:
        """Project image features (..., out_width) to (..., 256)."""
        result: Tensor = self._image(features)
        return result

    def text(self, features: Tensor) -> Tensor:
        """Project text features (..., out_width) to (..., 256)."""
        result: Tensor = self._text(features)
        return result

    @property
    def scale(self) -> Tensor:
        """Factor of the cosine, at most 100."""
        return self.log_scale.clamp(max=_LARGEST).exp()


Space = AlignedSpace | LearnedSpace


def join(towers: VisionLanguage) -> Space:
    """Return the space that fits two towers."""
    return LearnedSpace(towers) if towers.scale is None else AlignedSpace(towers)


def cosine_logits(space: Space, images: Tensor, texts: Tensor) -> Tensor:
    """Return scaled cosines of (n, width) images and (classes, width) texts: (n, classes)."""
    return space.scale * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T


def _projection(inputs: int) -> nn.Module:
    linear = nn.Linear(inputs, _WIDTH, bias=False)
    nn.init.orthogonal_(linear.weight)
    return nn.Sequential(nn.LayerNorm(inputs), linear)
