from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from brainad.encoders.vision_language import VisionLanguage, load_vision_language
from brainad.methods.medsad_clip.network import MedSADNetwork, NetworkSettings, Output, Segmentation
from brainad.methods.medsad_clip.objective import BatchTruth, LossWeights, Objective
from brainad.methods.medsad_clip.trunk import Trunk

_GRID = (2, 3)
SETTINGS = NetworkSettings(
    taps=2,
    shared_width=8,
    adapter_design="normalised",
    mix=(0.9, 0.05, 0.05),
    learnable_tokens=3,
    segmentation="cross_attention",
    attention_heads=2,
    rescale_attention=True,
    decoder_widths=(8, 8, 4),
    decoder_groups=2,
    temperature=10.0,
    learn_temperature=True,
)


@pytest.fixture
def towers(tmp_path: Path) -> VisionLanguage:
    return load_vision_language("tiny", tmp_path, torch.device("cpu"))


def make(towers: VisionLanguage, settings: NetworkSettings = SETTINGS) -> MedSADNetwork:
    torch.manual_seed(0)
    return MedSADNetwork(settings, ("a normal brain", "a badly damaged brain"), towers)


def judge(network: MedSADNetwork, towers: VisionLanguage, slices: Tensor) -> Output:
    trunk = Trunk(towers.image, (2, 4))
    output: Output = network(trunk.enter(slices), trunk.advance, _GRID, network.read(towers.text))
    return output


def gradients(
    network: MedSADNetwork, towers: VisionLanguage, weights: LossWeights
) -> dict[str, bool]:
    """Tell which parameters a loss reaches."""
    slices = torch.rand(2, 28, 42)
    truth = BatchTruth(slices > 0.8, torch.tensor([True, False]), torch.ones(2, dtype=torch.bool))
    Objective(weights, margin=0.4, gamma=2.0)(judge(network, towers, slices), truth)[0].backward()
    return {
        name: parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        for name, parameter in network.named_parameters()
    }


def test_pixel_losses_reach_what_the_paper_says(towers: VisionLanguage) -> None:
    network = make(towers)
    reached = gradients(network, towers, LossWeights(classification=0.0, margin=0.0))
    assert all(value for name, value in reached.items() if name.startswith(("dec", "attention")))
    assert reached["adapters.detection.0.outwards.0.weight"]
    assert reached["adapters.segmentation.1.inwards.0.weight"]
    assert not reached["adapters.detection.1.inwards.0.weight"]
    vectors = network.prompts.vectors.grad
    assert vectors is not None
    assert vectors[0].abs().sum() == 0
    assert vectors[1].abs().sum() > 0


def test_slice_losses_reach_what_the_paper_says(towers: VisionLanguage) -> None:
    network = make(towers)
    reached = gradients(network, towers, LossWeights(dice=0.0, focal=0.0))
    assert not any(v for name, v in reached.items() if name.startswith(("dec", "attention")))
    assert reached["adapters.segmentation.0.outwards.0.weight"]
    assert not reached["adapters.segmentation.1.inwards.0.weight"]
    assert reached["adapters.detection.1.inwards.0.weight"]
    vectors = network.prompts.vectors.grad
    assert vectors is not None
    assert (vectors.abs().sum((1, 2)) > 0).all()


def test_together_the_losses_reach_everything_and_no_tower(towers: VisionLanguage) -> None:
    network = make(towers)
    reached = gradients(network, towers, LossWeights())
    # Softmax over patches does not change when all keys move alike.
    assert [name for name, value in reached.items() if not value] in (
        [],
        ["attention.to_key.bias"],
    )
    assert not any("image" in name or "text." in name for name in reached)


@pytest.mark.parametrize("segmentation", ["cross_attention", "similarity"])
def test_an_image_is_judged_alike_alone_and_in_company(
    towers: VisionLanguage, segmentation: Segmentation
) -> None:
    network = make(towers, replace(SETTINGS, segmentation=segmentation)).eval()
    slices = torch.rand(3, 28, 42)
    with torch.no_grad():
        together, alone = judge(network, towers, slices), judge(network, towers, slices[1:2])
    for name in ("pixel_logits", "cosines", "class_logits"):
        assert torch.allclose(getattr(together, name)[1:2], getattr(alone, name), atol=1e-5)
    assert together.cosines.shape == together.class_logits.shape == (3, 2)
    factor = 4 if segmentation == "cross_attention" else 1
    assert together.pixel_logits.shape == (3, 2, factor * 2, factor * 3)


def test_without_decoder_the_slice_is_judged_by_its_mean_patch(towers: VisionLanguage) -> None:
    network = make(towers, replace(SETTINGS, segmentation="similarity", learnable_tokens=0))
    output = judge(network, towers, torch.rand(2, 28, 42))
    assert torch.allclose(output.class_logits.exp().sum(1), torch.ones(2), atol=1e-5)
    assert network.decoder is None
    assert network.attention is None


def test_words_are_the_same_for_every_image_and_leave_start_and_end_out(
    towers: VisionLanguage,
) -> None:
    network = make(towers)
    words = network.read(towers.text)
    # "a badly damaged brain", three learnt tokens and the full stop.
    assert words.abnormal.shape == (4 + 3 + 1, 8)
    assert torch.allclose(words.prototypes[1], words.abnormal.mean(0))
