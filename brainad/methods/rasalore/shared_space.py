"""Where images and texts meet: the space of CLIP, or learned projections (2.5, 10.7)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainad.encoders.vision_language import VisionLanguage
from brainad.methods.rasalore.sentences import CLASS_SENTENCES, NEUTRAL_SENTENCES

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

    Texts are centred first, because a sentence encoder places sentences about brains together.

    Args:
        towers: of any widths.
        class_words: words for which a space must be found.
    """

    _centre: Tensor

    def __init__(self, towers: VisionLanguage, class_words: Sequence[str]) -> None:
        super().__init__()
        self.text_width = _WIDTH
        self.register_buffer("_centre", _centre(towers, class_words), persistent=False)
        self._image = _projection(towers.image.out_width)
        self._text = _projection(towers.text.out_width)
        self.log_scale = nn.Parameter(torch.tensor(_START))

    def image(self, features: Tensor) -> Tensor:
        """Project image features (..., out_width) to (..., 256)."""
        result: Tensor = self._image(features)
        return result

    def text(self, features: Tensor) -> Tensor:
        """Project text features (..., out_width) to (..., 256)."""
        result: Tensor = self._text(features - self._centre)
        return result

    @property
    def scale(self) -> Tensor:
        """Factor of the cosine, at most 100."""
        return self.log_scale.clamp(max=_LARGEST).exp()


Space = AlignedSpace | LearnedSpace


def join(towers: VisionLanguage, class_words: Sequence[str]) -> Space:
    """Return the space that fits two towers."""
    return LearnedSpace(towers, class_words) if towers.scale is None else AlignedSpace(towers)


def class_centres(towers: VisionLanguage, class_words: Sequence[str]) -> Tensor:
    """Return the mean text features of several sentences per class: (classes, out_width)."""
    rows = [
        towers.text.encode_words([sentence.format(word) for sentence in CLASS_SENTENCES]).mean(0)
        for word in class_words
    ]
    return torch.stack(rows)


def cosine_logits(space: Space, images: Tensor, texts: Tensor) -> Tensor:
    """Return scaled cosines of (n, width) images and (classes, width) texts: (n, classes)."""
    return space.scale * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T


def _centre(towers: VisionLanguage, class_words: Sequence[str]) -> Tensor:
    neutral = towers.text.encode_words(NEUTRAL_SENTENCES)
    return torch.cat([class_centres(towers, class_words), neutral]).mean(0)


def _projection(inputs: int) -> nn.Module:
    linear = nn.Linear(inputs, _WIDTH, bias=False)
    nn.init.orthogonal_(linear.weight)
    return nn.Sequential(nn.LayerNorm(inputs), linear)
