from __future__ import annotations

from dataclasses import replace

import pytest

from brainad.encoders.choice import DEFAULT_ENCODER, choose_encoder, encoder_depth, encoder_size
from brainad.encoders.registry import REGISTRY
from brainad.plan import Resources


def test_a_gpu_gets_the_best_encoder_and_a_cpu_the_embedded_one(resources: Resources) -> None:
    rich = replace(resources, encoders=(DEFAULT_ENCODER, "dinov2_vitb14"))
    assert choose_encoder(rich)[0] == DEFAULT_ENCODER
    assert choose_encoder(replace(rich, device="cuda:0"))[0] == "dinov2_vitb14"
    name, because = choose_encoder(resources)
    assert name == DEFAULT_ENCODER
    assert "brainad_download_weights" in because


@pytest.mark.parametrize(
    "name", [name for name, entry in REGISTRY.items() if entry.role == "image"]
)
def test_every_encoder_has_a_depth(name: str) -> None:
    assert encoder_size(name) in name
    assert encoder_depth(name) in (12, 24, 40)
