from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
)
from transformers.utils import logging as transformers_logging

from brainad.encoders.dinov2 import IMAGENET_MEAN, DINOv2, load_dinov2
from brainad.encoders.tiny import tiny_encoder
from brainad.errors import UsageError

CPU = torch.device("cpu")
SIZES: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "mlp_ratio": 2,
    "image_size": 42,
    "patch_size": 14,
}


def random_model(registers: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        if registers:
            config = Dinov2WithRegistersConfig(num_register_tokens=registers, **SIZES)
            return Dinov2WithRegistersModel(config).eval()
        return Dinov2Model(Dinov2Config(**SIZES)).eval()


@pytest.fixture
def slices() -> Tensor:
    return torch.rand((2, 28, 56), generator=torch.Generator().manual_seed(2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random_model(registers=0).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("registers", [0, 4])
def test_tokens_are_those_of_the_published_model(
    registers: int, slices: Tensor, tmp_path: Path
) -> None:
    model = random_model(registers)
    model.save_pretrained(tmp_path)
    encoder = load_dinov2(tmp_path, "random", CPU)

    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    grey = slices[:, None].expand(-1, 3, -1, -1)
    pixels = (grey - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        expected = model(pixels, output_hidden_states=True)
    last, second = encoder.encode(slices, [3, 2], final_norm=False)
    (normed,) = encoder.encode(slices, [3], final_norm=True)

    assert (encoder.identity, encoder.patch_size) == ("random", 14)
    assert (encoder.width, encoder.depth) == (24, 3)
    for tokens, reference in (
        (last, expected.hidden_states[3]),
        (second, expected.hidden_states[2]),
        (normed, expected.last_hidden_state),
    ):
        patches = reference[:, 1 + registers :].reshape(2, 2, 4, 24)
        torch.testing.assert_close(tokens, patches, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(224, 224), (196, 238), (14, 42)])
def test_any_multiple_of_the_patch_fits(height: int, width: int) -> None:
    encoder = tiny_encoder(0, CPU)
    tokens = encoder.encode(torch.rand(2, height, width), [1, 4], final_norm=True)
    assert [t.shape for t in tokens] == [(2, height // 14, width // 14, 32)] * 2
    assert all(t.dtype == torch.float32 and bool(t.isfinite().all()) for t in tokens)


def test_token_row_and_column_are_those_of_the_patch() -> None:
    blank = torch.zeros(1, 42, 70)
    marked = blank.clone()
    marked[0, 14:28, 42:56] = 1.0
    encoder = tiny_encoder(0, CPU)
    (plain,), (changed,) = (encoder.encode(image, [1], False) for image in (blank, marked))
    change = (changed - plain)[0].norm(dim=-1)
    assert divmod(int(change.argmax()), 5) == (1, 3)


def test_blocks_above_the_highest_layer_are_not_run(slices: Tensor) -> None:
    model = random_model(registers=0)
    encoder = DINOv2(model, "random", CPU)
    calls = []
    for number, block in enumerate(model.encoder.layer, start=1):
        block.register_forward_hook(lambda *_, number=number: calls.append(number))
    encoder.encode(slices, [1, 2], final_norm=False)
    assert calls == [1, 2]


def test_batch_does_not_change_a_slice(slices: Tensor) -> None:
    encoder = tiny_encoder(0, CPU)
    (together,) = encoder.encode(slices, [4], final_norm=True)
    (alone,) = encoder.encode(slices[1:], [4], final_norm=True)
    torch.testing.assert_close(together[1:], alone, rtol=0, atol=1e-5)


def test_input_is_unchanged_and_result_is_plain(slices: Tensor) -> None:
    before = slices.clone()
    (tokens,) = tiny_encoder(0, CPU).encode(slices, [2], final_norm=False)
    assert torch.equal(slices, before)
    assert not tokens.requires_grad
    assert not tokens.is_inference()


@pytest.mark.parametrize("shape", [(1, 28, 30), (1, 13, 28), (28, 28), (1, 2, 28, 28)])
def test_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiples of 14"):
        tiny_encoder(0, CPU).encode(torch.zeros(shape), [1], final_norm=False)


def test_colour_planes_are_shown_as_they_are(slices: Tensor) -> None:
    encoder = tiny_encoder(0, CPU)
    (grey,) = encoder.encode(slices, [3], final_norm=False)
    (same,) = encoder.encode(slices[:, None].expand(-1, 3, -1, -1), [3], final_norm=False)
    assert torch.equal(grey, same)
    absent = torch.tensor(IMAGENET_MEAN)[:, None, None].expand(1, 3, 28, 56)
    weight = encoder._model.embeddings.patch_embeddings.projection.weight
    with torch.no_grad():
        weight.zero_()
    (nothing,) = encoder.encode(slices, [3], final_norm=False)
    fresh = tiny_encoder(0, CPU)
    (empty,) = fresh.encode(absent, [3], final_norm=False)
    torch.testing.assert_close(empty, nothing[:1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("layers", [[], [0], [5], [-1, 2]])
def test_layer_that_does_not_exist_is_refused(layers: list[int]) -> None:
    with pytest.raises(ValueError, match=r"1\.\.4"):
        tiny_encoder(0, CPU).encode(torch.zeros(1, 28, 28), layers, final_norm=False)


def test_other_architecture_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "vit"}))
    with pytest.raises(UsageError, match="'vit'"):
        load_dinov2(folder, "random", CPU)


def test_incomplete_weights_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layer.1.mlp.fc1.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"1 tensors missing, e\.g\. encoder\.layer\.1\.mlp\.fc1"):
        load_dinov2(folder, "random", CPU)


def test_weights_of_another_size_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["layernorm.weight"] = torch.ones(25)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match="cannot be read"):
        load_dinov2(folder, "random", CPU)


def test_truncated_weights_are_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UsageError, match="cannot be read"):
        load_dinov2(folder, "random", CPU)


def test_pickled_weights_are_refused(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        load_dinov2(folder, "random", CPU)


def test_loading_draws_no_bar_and_leaves_the_setting(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = transformers_logging.is_progress_bar_enabled()
    load_dinov2(folder, "random", CPU)
    assert transformers_logging.is_progress_bar_enabled() == before
    assert capsys.readouterr() == ("", "")
