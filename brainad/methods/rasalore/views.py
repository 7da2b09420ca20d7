"""Random views of a slice or its tokens for stage 1 (specification 2.1): drawn, then applied."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

_ASPECT = (3 / 4, 4 / 3)
_ATTEMPTS = 10


@dataclass(frozen=True)
class Views:
    """How slices vary while prompts learn; the defaults show them as they are.

    Frozen blocks before the first prompt keep the tokens of whole slices. Then no part can be
    enlarged, but slices can be mirrored and patches hidden; without such blocks, parts are shown
    and mirrored as published.

    Args:
        smallest: share of the area that a part shows at least; with no frozen blocks.
        mirrored: half of the slices along their rows, which are left and right of all but
            sagittal slices; with frozen blocks.
        patches: share of the patches that a step sees; with frozen blocks.
    """

    smallest: float = 1.0
    mirrored: bool = False
    patches: float = 1.0


@dataclass(frozen=True)
class View:
    """A part of a slice, as shares of its height and width, perhaps mirrored."""

    top: float
    left: float
    height: float
    width: float
    mirrored: bool


def draw_view(rng: np.random.Generator, smallest: float) -> View:
    """Draw a part with a share of the area from `smallest` to 1, mirrored half of the time."""
    mirrored = bool(rng.random() < 0.5)
    for _ in range(_ATTEMPTS):
        area = rng.uniform(smallest, 1)
        aspect = math.exp(rng.uniform(*np.log(_ASPECT)))
        height, width = math.sqrt(area / aspect), math.sqrt(area * aspect)
        if max(height, width) <= 1:
            top, left = rng.uniform(0, 1 - height), rng.uniform(0, 1 - width)
            return View(top, left, height, width, mirrored)
    return View(0, 0, 1, 1, mirrored)


def apply_view(image: Tensor, view: View) -> Tensor:
    """Show a part of a slice (height, width) at the size of the whole, bicubic."""
    height, width = image.shape
    top, left = round(view.top * height), round(view.left * width)
    bottom = max(round((view.top + view.height) * height), top + 1)
    right = max(round((view.left + view.width) * width), left + 1)
    part = image[None, None, top:bottom, left:right]
    shown = F.interpolate(part, (height, width), mode="bicubic", align_corners=False)[0, 0]
    return torch.flip(shown, (1,)) if view.mirrored else shown


def hide_patches(tokens: Tensor, leading: int, share: float, rng: np.random.Generator) -> Tensor:
    """Leave a random share of the patch tokens, another for every slice, in their order.

    Args:
        tokens: (n, leading + patches, width).
        leading: tokens that are no patches; they stay.
        share: of the patches that stay.
        rng: chooses.

    Returns:
        (n, leading + share * patches, width).
    """
    count, patches = len(tokens), tokens.shape[1] - leading
    drawn: NDArray[np.intp] = rng.random((count, patches)).argsort(axis=1)
    shown = np.sort(drawn[:, : max(round(share * patches), 1)], axis=1) + leading
    index = torch.from_numpy(np.hstack([np.tile(np.arange(leading), (count, 1)), shown]))
    return torch.take_along_dim(tokens, index.to(tokens.device)[:, :, None], 1)
