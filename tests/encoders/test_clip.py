from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from transformers import CLIPModel

from brainad.encoders.clip import load_clip
from brainad.errors import UsageError

CPU = torch.device("cpu")
# <start> a photo of a brain <end>, in the vocabulary of the folder.
PHOTO = torch.tensor([[7, 0, 1, 2, 0, 5, 8]])


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(1))


def test_towers_agree_with_the_model_they_come_from(
    clip_folder: Path, images: torch.Tensor
) -> None:
    model = CLIPModel.from_pretrained(clip_folder).eval()
    image, text, scale = load_clip(clip_folder, CPU)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (image.mean, image.std))
    with torch.no_grad():
        expected = model(input_ids=PHOTO, pixel_values=(images[:, None] - mean) / std)
        features = image.head(image.run(image.embed(images), 0, image.depth)[:, 0])
    torch.testing.assert_close(F.normalize(features, dim=-1), expected.image_embeds)
    words = text.encode_words(["a photo of a brain"])
    torch.testing.assert_close(F.normalize(words, dim=-1), expected.text_embeds)
    assert scale == pytest.approx(float(model.logit_scale.exp()))
    assert (image.leading, image.patch_size, image.native_size) == (1, 8, 32)


def test_attention_is_what_the_block_uses(clip_folder: Path, images: torch.Tensor) -> None:
    model = CLIPModel.from_pretrained(clip_folder, attn_implementation="eager").eval()
    image, _, _ = load_clip(clip_folder, CPU)
    tokens = image.embed(images)
    with torch.no_grad():
        entering = image.run(tokens, 0, 2)
        layer = model.vision_model.encoder.layers[2]
        _, expected = layer.self_attn(layer.layer_norm1(entering))
    torch.testing.assert_close(image.blocks[2].attention(entering), expected.mean(1))


def test_gradients_reach_what_is_put_in_and_nothing_else(
    clip_folder: Path, images: torch.Tensor
) -> None:
    image, text, _ = load_clip(clip_folder, CPU)
    prompt = torch.randn(2, image.width, requires_grad=True)
    context = torch.randn(3, text.width, requires_grad=True)
    tokens = torch.cat([image.embed(images), prompt.expand(2, -1, -1)], 1)
    feature = image.head(image.run(tokens, 0, image.depth)[:, 0])
    _, words = text.encode(text.assemble([[context, "brain", "."], ["a photo of a brain"]]))
    (feature @ words.T).sum().backward()
    assert prompt.grad is not None and prompt.grad.abs().sum() > 0
    assert context.grad is not None and context.grad.abs().sum() > 0
    frozen = [*image.blocks[0].module.parameters(), *text.embedding.parameters()]
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in frozen)


def test_images_of_another_size_are_taken(clip_folder: Path) -> None:
    image, _, _ = load_clip(clip_folder, CPU)
    pictures = torch.rand(1, 3, 48, 40)
    assert image.grid(pictures) == (6, 5)
    assert image.patches(image.embed(pictures)).shape == (1, 30, 24)


def test_another_architecture_is_refused(clip_folder: Path) -> None:
    config = json.loads((clip_folder / "config.json").read_text())
    (clip_folder / "config.json").write_text(json.dumps(config | {"model_type": "siglip"}))
    with pytest.raises(UsageError, match="'siglip'"):
        load_clip(clip_folder, CPU)


def test_a_folder_without_tokeniser_is_refused(clip_folder: Path) -> None:
    (clip_folder / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match=r"no tokenizer\.json"):
        load_clip(clip_folder, CPU)
