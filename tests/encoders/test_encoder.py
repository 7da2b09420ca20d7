from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from brainad.encoders.encoder import Encoder, load_encoder
from brainad.errors import UsageError

CPU = torch.device("cpu")


def describe(encoder: Encoder) -> tuple[str, int, int, int, torch.device]:
    return (
        encoder.identity.split()[0],
        encoder.patch_size,
        encoder.width,
        encoder.depth,
        encoder.device,
    )


def test_tiny_needs_no_weights(tmp_path: Path) -> None:
    assert describe(load_encoder("tiny", tmp_path, CPU)) == ("tiny", 14, 32, 4, CPU)


def test_embedded_default_loads_offline(weights_folder: Path) -> None:
    encoder = load_encoder("dinov2_vits14", weights_folder, CPU)
    assert describe(encoder) == ("dinov2_vits14", 14, 384, 12, CPU)
    (tokens,) = encoder.encode(torch.rand(1, 196, 238), [3], final_norm=False)
    assert tokens.shape == (1, 14, 17, 384)


def test_any_dinov2_folder_loads_by_its_path(tmp_path: Path) -> None:
    config = Dinov2Config(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, image_size=28)
    Dinov2Model(config).save_pretrained(tmp_path / "mine")
    name = str(tmp_path / "mine")
    encoder = load_encoder(name, tmp_path, CPU)
    assert describe(encoder) == (name, 14, 8, 2, CPU)
    assert load_encoder(name, tmp_path, CPU).identity == encoder.identity


def test_other_weights_under_the_same_name_are_told_apart(tmp_path: Path) -> None:
    config = Dinov2Config(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, image_size=28)
    identities = set()
    for _ in range(2):
        Dinov2Model(config).save_pretrained(tmp_path / "mine")
        identities.add(load_encoder(str(tmp_path / "mine"), tmp_path, CPU).identity)
    assert len(identities) == 2


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "dinov2_vits14"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(UsageError, match="weight file changed"):
        load_encoder("dinov2_vits14", tmp_path, CPU)
