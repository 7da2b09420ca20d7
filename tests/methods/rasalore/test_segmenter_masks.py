from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainad.encoders.sam import Segmenter
from brainad.methods.rasalore.segmenter_masks import (
    mid_range_mask,
    segment,
    tight_box,
    widened,
)

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_boxes_and_masks_are_the_golden_ones(golden: Load) -> None:
    case = golden("medsam_prompt")
    for number, weak in enumerate(case["map_u8"]):
        box = tight_box(weak)
        assert box == tuple(case["tight_box_xyxy"][number])
        assert box is not None
        rng = np.random.RandomState(int(case["jitter_seed"][number]))
        assert widened(box, weak.shape, rng) == tuple(case["jittered_box_xyxy"][number])
    for logits, mask in zip(case["sam_logits"], case["sam_mask"], strict=True):
        assert (mid_range_mask(logits) != (mask > 0)).mean() <= 0.002


def test_the_segmenter_is_asked_with_the_box(rng: np.random.Generator) -> None:
    asked: list[torch.Tensor] = []

    def network(image: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
        asked.append(box)
        left, top, right, bottom = (int(value) for value in box[0])
        logits = torch.full(image.shape[2:], -4.0)
        logits[top : bottom + 1, left : right + 1] = 4
        return logits

    segmenter = Segmenter("square", 64, lambda image: image, network, torch.device("cpu"))
    image = rng.integers(0, 255, (64, 48)).astype(np.uint8)
    weak = np.zeros_like(image)
    weak[30:35, 20:24] = 255
    drawn = segment(segmenter, image, weak, seed=3) > 0
    assert drawn[30:35, 20:24].all()
    assert drawn.sum() < 50 * 48
    assert len(asked) == 1
    assert not segment(segmenter, image, np.zeros_like(weak), seed=3).any()
    assert len(asked) == 1
