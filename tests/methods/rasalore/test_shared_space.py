from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from brainad.encoders.vision_language import VisionLanguage, load_vision_language
from brainad.methods.rasalore.shared_space import (
    AlignedSpace,
    LearnedSpace,
    class_centres,
    cosine_logits,
    join,
)

WORDS = ("Healthy", "Unhealthy")


@pytest.fixture
def towers(tmp_path: Path) -> VisionLanguage:
    return load_vision_language("tiny", tmp_path, torch.device("cpu"))


def test_towers_that_know_each_other_keep_their_space(towers: VisionLanguage) -> None:
    space = join(replace(towers, scale=20.0), WORDS)
    assert isinstance(space, AlignedSpace)
    assert not list(space.parameters())
    features = torch.randn(3, 4)
    logits = cosine_logits(space, features, features)
    torch.testing.assert_close(logits.diagonal(), torch.full((3,), 20.0))
    with pytest.raises(ValueError, match="no space in common"):
        AlignedSpace(towers)


def test_strangers_get_projections(towers: VisionLanguage) -> None:
    space = join(towers, WORDS)
    assert isinstance(space, LearnedSpace)
    images = space.image(torch.randn(3, towers.image.out_width))
    texts = space.text(torch.randn(2, towers.text.out_width))
    assert cosine_logits(space, images, texts).shape == (3, 2)
    assert space.scale.item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        space.log_scale.fill_(9.0)
    assert space.scale.item() == pytest.approx(100)


def test_texts_of_the_classes_are_pulled_apart_by_centring(towers: VisionLanguage) -> None:
    space = join(towers, WORDS)
    features = class_centres(towers, WORDS)
    plain, centred = (
        torch.nn.functional.cosine_similarity(pair[0], pair[1], dim=0)
        for pair in (features, space.text(features))
    )
    assert centred < plain
