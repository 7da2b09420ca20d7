from __future__ import annotations

from pathlib import Path

import pytest
import torch

from brainad.encoders.dinov2 import load_dinov2
from brainad.encoders.vision_language import EMBEDDED, load_vision_language
from brainad.encoders.weights import find_weights
from brainad.errors import UsageError

CPU = torch.device("cpu")


def test_a_clip_folder_is_one_encoder(clip_folder: Path, tmp_path: Path) -> None:
    towers = load_vision_language(str(clip_folder), tmp_path, CPU)
    assert towers.scale is not None
    assert towers.image.out_width == towers.text.out_width == 12


def test_the_embedded_pair_has_no_space_in_common(weights_folder: Path) -> None:
    towers = load_vision_language(EMBEDDED, weights_folder, CPU)
    assert towers.scale is None
    name, *hashes = towers.identity.split()
    assert name == EMBEDDED
    assert len(set(hashes)) == 2
    assert (towers.image.depth, towers.image.width, towers.image.patch_size) == (12, 384, 14)
    images = torch.rand(1, 28, 42)
    tokens = towers.image.run(towers.image.embed(images), 0, 12)
    encoder = load_dinov2(find_weights("dinov2_vits14", weights_folder), "dinov2_vits14", CPU)
    (expected,) = encoder.encode(images, [12], final_norm=True)
    found = towers.image.patches(towers.image.head(tokens))
    torch.testing.assert_close(found, expected.flatten(1, 2), rtol=1e-3, atol=1e-3)


def test_missing_weights_name_the_part(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no weights found for encoder dinov2_vits14"):
        load_vision_language(EMBEDDED, tmp_path, CPU)


def test_the_tiny_pair_is_the_same_every_time(tmp_path: Path) -> None:
    one, other = (load_vision_language("tiny", tmp_path, CPU) for _ in range(2))
    texts = ["a healthy brain", "an unhealthy brain"]
    assert torch.equal(one.text.encode_words(texts), other.text.encode_words(texts))
    images = torch.rand(1, 28, 28)
    assert torch.equal(one.image.embed(images), other.image.embed(images))
