"""The published pipeline, assembled from our parts, gives the published numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from brainad.methods.anyad.layout import RgbSlots
from brainad.methods.anyad.losses import Moments, consistency_loss, token_moments
from brainad.methods.anyad.maps import token_distance
from brainad.methods.anyad.network import Reconstruction, Reconstructor
from brainad.methods.anyad.objective import LossWeights, loss_terms, plain, step
from brainad.methods.anyad.optimiser import StableAdamW
from brainad.training.schedules import ScheduledRate, WarmUpCosine
from tests.methods.anyad import published
from tests.methods.anyad.golden_arrays import (
    Arrays,
    as_maps,
    close,
    golden,
    parameters,
    tensor,
    tokens,
)


def network_of(arrays: Arrays, prefix: str) -> Reconstructor:
    count, width = arrays[f"{prefix}prototypes"].shape
    network = Reconstructor(width, int(arrays["num_heads"]), count, blocks=8)
    network.load_state_dict(parameters(arrays, prefix))
    return network


def test_the_whole_model_agrees(tmp_path: Path) -> None:
    arrays = golden("full_model_tiny")
    image = tensor(arrays["image"])
    grid = image.shape[-1] // int(arrays["patch_size"])
    leading = 1 + int(arrays["num_register_tokens"])
    model = published.encoder(arrays, grid, tmp_path)
    for number, found in zip((2, 9), published.layers(model, image, (3, 10)), strict=True):
        expected = arrays[f"block_out_{number}"][:, leading:]
        close(found, expected, rtol=1e-3, atol=1e-4)
    shallow, deep = published.groups(model, image)
    close(as_maps(shallow, arrays["en0"]), arrays["en0"], rtol=1e-3, atol=1e-4)
    close(as_maps(deep, arrays["en1"]), arrays["en1"], rtol=1e-3, atol=1e-4)
    named = {f"param.{k}": v for k, v in {"prototypes": arrays["prototypes"]}.items()}
    parts = {k: v for k, v in arrays.items() if not k.startswith("param.encoder")}
    rebuilt = network_of({**parts, **named}, "param.")(shallow, deep)
    close(as_maps(rebuilt.shallow, arrays["de0"]), arrays["de0"], rtol=1e-3, atol=1e-4)
    close(as_maps(rebuilt.deep, arrays["de1"]), arrays["de1"], rtol=1e-3, atol=1e-4)
    close(consistency_loss(rebuilt.tokens, rebuilt.prototypes), arrays["g_loss"], rtol=1e-3)


def test_a_short_training_agrees_step_by_step(tmp_path: Path) -> None:
    arrays = golden("train_steps")
    grid = arrays["full_images"].shape[-1] // int(arrays["patch_size"])
    model = published.encoder(arrays, grid, tmp_path)
    _, whole = published.groups(model, tensor(arrays["full_images"]))
    reference = token_moments(whole)
    close(reference.mean, arrays["target_mean"], rtol=1e-3, atol=1e-4)
    close(reference.std, arrays["target_std_unbiased"], rtol=1e-3, atol=1e-4)
    network = network_of(arrays, "init.")
    optimiser = StableAdamW(network.parameters(), lr=1.0)
    schedule = WarmUpCosine(
        float(arrays["lr_base"]),
        float(arrays["lr_final"]),
        int(arrays["total_iters"]),
        int(arrays["warmup_iters"]),
    )
    rate = ScheduledRate(optimiser, schedule)
    weights = LossWeights(
        float(arrays["lambda_g"]), float(arrays["lambda_dist"]), float(arrays["gamma"])
    )
    for number in range(int(arrays["n_steps"])):
        assert optimiser.param_groups[0]["lr"] == pytest.approx(arrays["log_lr"][number])
        shallow, deep = published.groups(model, tensor(arrays["batches"][number]))
        terms = loss_terms(shallow, deep, network(shallow, deep), reference, weights)
        norm = step(terms["loss"], optimiser, [network], float(arrays["clip_norm"]))
        rate.step()
        found = plain(terms)
        for name, log, tolerance in (
            ("reconstruction", "log_rec", 1e-4),
            ("consistency", "log_g", 1e-4),
            ("alignment", "log_dist", 1e-3),
            ("loss", "log_total", 2e-4),
        ):
            assert found[name] == pytest.approx(float(arrays[log][number]), rel=tolerance)
        assert norm == pytest.approx(float(arrays["log_gnorm"][number]), rel=1e-3)
    for name, value in network.state_dict().items():
        expected = arrays[f"final.{name}"]
        if name == "extractor.attn.kv.bias":
            # Only rounding noise drives the bias of K: its true gradient is zero.
            half = expected.size // 2
            close(value[half:], expected[half:], rtol=0, atol=5e-6)
        else:
            close(value, expected, rtol=0, atol=5e-6)


def test_the_published_alignment_trains_nothing() -> None:
    """Its features come from a frozen encoder: the gradients are those of a run without it."""
    torch.manual_seed(0)
    shallow, deep = torch.randn(2, 2, 9, 16)
    network = Reconstructor(16, 2, prototypes=3, blocks=4)
    reference = Moments(torch.zeros(16), torch.ones(16))

    def gradients(used: Moments | None) -> list[torch.Tensor]:
        network.zero_grad()
        terms = loss_terms(shallow, deep, network(shallow, deep), used, LossWeights(0.2, 0.4, 3))
        terms["loss"].backward()
        return [p.grad.clone() for p in network.parameters() if p.grad is not None]

    pairs = zip(gradients(reference), gradients(None), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("weight", ["consistency", "alignment"])
def test_every_weight_changes_the_loss(weight: str) -> None:
    torch.manual_seed(0)
    shallow, deep = torch.randn(2, 2, 9, 16)
    network = Reconstructor(16, 2, prototypes=3, blocks=4)
    nn.init.normal_(network.extractor.mlp.fc2.weight)
    reference = Moments(torch.zeros(16), torch.full((16,), 2.0))
    losses = []
    for value in (0.0, 1.0):
        weights = LossWeights(**{"consistency": 0.2, "alignment": 0.2, "hardness": 3.0,
                                 weight: value})  # fmt: skip
        terms = loss_terms(shallow, deep, network(shallow, deep), reference, weights)
        losses.append(plain(terms)["loss"])
        expected = plain(terms)[weight]
    assert losses[1] - losses[0] == pytest.approx(expected, rel=1e-4)


def test_maps_and_image_scores_agree() -> None:
    arrays = golden("anomaly_map")
    en0, en1, de0, de1 = (arrays[name] for name in ("en0", "en1", "de0", "de1"))
    size, target = int(arrays["out_size"]), int(arrays["resize_to"])
    side = en0.shape[-1]
    nothing = torch.zeros(1)
    both = token_distance(
        tokens(en0), tokens(en1), Reconstruction(tokens(de0), tokens(de1), nothing, nothing)
    )

    def upsampled(distance: torch.Tensor) -> torch.Tensor:
        maps = distance.reshape(-1, 1, side, side)
        return F.interpolate(maps, (size, size), mode="bilinear", align_corners=True)

    single = [
        upsampled(token_distance(e, e, Reconstruction(d, d, nothing, nothing)))
        for e, d in ((tokens(en0), tokens(de0)), (tokens(en1), tokens(de1)))
    ]
    close(single[0], arrays["map0"])
    close(single[1], arrays["map1"])
    mean = upsampled(both)
    close(mean, arrays["map_mean"])
    small = F.interpolate(mean, (target, target), mode="bilinear", align_corners=False)
    close(small, arrays["map_resized"])
    smooth, kernel = published.smoothed(small)
    close(kernel, arrays["gauss_kernel"])
    close(smooth, arrays["map_smooth"])
    count = math.floor(0.01 * target * target)
    assert count == int(arrays["top_k"])
    top = smooth.flatten(1).topk(count).values.mean(1)
    close(top, arrays["score_top1pct"])
    close(smooth.flatten(1).max(1).values, arrays["score_max"])


def test_image_preparation_agrees() -> None:
    arrays = golden("preprocess")
    rgb = published.min_max_rgb(arrays["raw_uint8"])
    assert np.array_equal(rgb, arrays["rgb_uint8"])
    size, cut = int(arrays["resize"]), int(arrays["crop"])
    image = published.normalised(published.crop(published.resized_uint8(rgb, size), cut))
    # Another resampler may round to the neighbouring grey level.
    close(image, arrays["image_full"], rtol=0, atol=0.02)
    mask = published.crop(published.resized_uint8(arrays["gt_uint8"], size), cut) / 255.0
    assert np.abs(mask - arrays["gt_crop"][0]).max() < 0.02
    edge = int(arrays["eval_size"])
    nearest = F.interpolate(tensor(arrays["gt_crop"])[None], (edge, edge), mode="nearest")
    assert np.array_equal((nearest[0, 0] > 0.5).numpy(), arrays["gt_eval"].astype(bool))


def test_masking_removes_channels_and_not_rows() -> None:
    arrays = golden("preprocess")
    full = tensor(arrays["image_full"])
    mean, std = (
        torch.tensor(each).view(3, 1, 1)
        for each in (published.IMAGENET_MEAN, published.IMAGENET_STD)
    )
    names = ("FLAIR", "T1", "T2")
    planes = dict(zip(names, (full * std + mean)[:, None], strict=True))
    layout = RgbSlots(names)
    for combination, expected in zip(arrays["combos"], arrays["image_masked"], strict=True):
        subset = tuple(n for n, there in zip(names, combination, strict=True) if there)
        (shown,) = layout.images(planes, subset)
        found = (shown - mean) / std
        close(found, expected, rtol=0, atol=1e-5)
        for plane, there in zip(found, combination, strict=True):
            assert bool(plane.abs().max() > 0.1) == bool(there)
    wrong = tensor(arrays["released_code_combo2"])
    assert not torch.allclose(wrong, tensor(arrays["image_masked"])[1], atol=1e-3)
