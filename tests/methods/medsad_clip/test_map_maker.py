from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from brainad.methods.medsad_clip.map_maker import probabilities, similarity_logits

Golden = Callable[[str], Any]


def test_the_map_of_the_compared_method_matches_the_golden_file(golden: Golden) -> None:
    known = golden("mapmaker")
    levels = list(known["features"].flatten(2, 3))
    grid = tuple(known["features"].shape[2:4])
    side = int(known["image_size"])
    logits = similarity_logits(levels, known["text"].T, grid, temperature=1.0)
    found = probabilities(logits, (side, side), aligned_corners=True)
    assert torch.allclose(found, known["out"], atol=1e-5)


def test_a_patch_like_the_abnormal_prompt_lights_up() -> None:
    prototypes = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    patches = torch.tensor([[[2.0, 0.0], [2.0, 0.0], [0.0, 3.0], [2.0, 0.0]]])
    logits = similarity_logits([patches, patches], prototypes, (2, 2), temperature=10.0)
    found = probabilities(logits, (2, 2))[0, 1]
    assert (found > 0.5).tolist() == [[False, False], [True, False]]
