from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainad.methods.rasalore.embeddings import location_embeddings
from brainad.methods.rasalore.losses import LossSettings, Targets, stage_two_loss
from brainad.methods.rasalore.network import NetworkSize, Rasalore
from brainad.methods.rasalore.points import active_points

Arrays = dict[str, NDArray[Any]]
Load = Callable[[str], Arrays]

SMALL = NetworkSize(
    image=16,
    points=4,
    channels=(2, 3, 4, 8),
    refiner=(3, 4),
    activation=(6, 4),
    upsampling=(5, 4),
)


def build(size: NetworkSize = SMALL, names: tuple[str, ...] = ("T2",)) -> Rasalore:
    torch.manual_seed(0)
    return Rasalore(size, names, seed=5, integer_frequencies=False)


def small_size(case: Arrays, encoder: str, image: int, points: int, **decoder: Any) -> NetworkSize:
    """Read the sizes of a golden network off its weights."""

    def width(name: str) -> int:
        return int(case[f"{encoder}{name}.bias"].size)

    first, second, third, fourth = (width(f"e{i}.conv1") for i in (1, 2, 3, 4))
    return NetworkSize(
        image=image,
        points=points,
        channels=(first, second, third, fourth),
        refiner=(width("refiner.conv1"), width("refiner.tconv2")),
        activation=(width("rasa.ffn.fc1"), width("rasa.ffn.fc2")),
        **decoder,
    )


def fill_encoder(network: Rasalore, case: Arrays, prefix: str, fill: Callable[..., Any]) -> None:
    blocks = {k: v for k, v in case.items() if k.startswith(f"{prefix}e")}
    fill(network.encoder, blocks, prefix)
    fill(network.refiner, case, f"{prefix}refiner.")
    fill(network.attention["T2"], case, f"{prefix}rasa.")


def test_wiring_is_the_golden_one(golden: Load, fill: Callable[..., Any]) -> None:
    case = golden("image_encoder")
    images, lore = (torch.from_numpy(case[name]) for name in ("image", "lore"))
    size = small_size(case, "w.", images.shape[-1], round(len(lore) ** 0.5))
    network = build(size).eval()
    fill_encoder(network, case, "w.", fill)
    with torch.no_grad():
        first, features = network.encoder(images)
        refined = network.refiner(first)
        embeddings, activations = network.attention["T2"](refined, lore)
    found = {
        "s1": first,
        "features": features,
        "refined": refined,
        "espe": embeddings,
        "activations": activations,
    }
    for name, result in found.items():
        torch.testing.assert_close(result, torch.from_numpy(case[name]), rtol=1e-4, atol=1e-5)


def test_three_steps_are_the_golden_ones(golden: Load, fill: Callable[..., Any]) -> None:
    case = golden("train_step")
    images, lore = (torch.from_numpy(case[name]) for name in ("image", "lore"))
    size = small_size(
        case,
        "w0.enc.",
        images.shape[-1],
        round(len(lore) ** 0.5),
        upsampling=(case["w0.dec.tconv1.bias"].size, case["w0.dec.tconv2.bias"].size),
        dropout=0.0,
    )
    network = build(size).train()
    fill_encoder(network, case, "w0.enc.", fill)
    fill(network.decoder, case, "w0.dec.")
    network.points = lore
    targets = Targets(
        torch.from_numpy(case["mask_ddpt_out"]).float(),
        torch.from_numpy(case["point_mask"]).float(),
        torch.from_numpy(case["mask_sam_out"]).float(),
        torch.ones(len(images), dtype=torch.bool),
    )
    mask = torch.from_numpy(case["mask_ddpt_in"])
    assert torch.equal(active_points(mask, size.points), targets.points)
    zoom = 256 / targets.weak.shape[-1]
    settings = LossSettings(sigma=10 * zoom, background_sigma=15 * zoom)
    optimiser = torch.optim.SGD(network.parameters(), float(case["lr"]), float(case["momentum"]))
    for step, expected in enumerate(case["losses_seg_pa_struct_total"]):
        drawing = network(images, "T2")
        if step == 0:
            outputs = (drawing.probabilities, drawing.embeddings, drawing.activations)
            for found, name in zip(outputs, ("prob0", "espe0", "act0"), strict=True):
                torch.testing.assert_close(
                    found, torch.from_numpy(case[name]), rtol=1e-4, atol=1e-5
                )
        losses = [loss.mean() for loss in stage_two_loss(drawing, targets, settings).values()]
        total = torch.stack(losses).sum()
        measured = [loss.item() for loss in (*losses, total)]
        np.testing.assert_allclose(measured, expected, rtol=1e-3)
        optimiser.zero_grad()
        total.backward()
        if step == 0:
            _compare(network, case, "grad0", lambda tensor: tensor.grad, 1e-3)
        optimiser.step()
    _compare(network, case, "w3", lambda tensor: tensor, 1e-3)


def _compare(
    network: Rasalore,
    case: Arrays,
    prefix: str,
    read: Callable[[Tensor], Tensor | None],
    tolerance: float,
) -> None:
    places = (("refiner.", "refiner."), ("rasa.", "attention.T2."), ("e", "encoder.e"))
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    names = [name for name in case if name.startswith(f"{prefix}.")]
    assert len(names) > 60
    for name in names:
        part, rest = name.removeprefix(f"{prefix}.").split(".", 1)
        if part == "enc":
            start, ours = next(pair for pair in places if rest.startswith(pair[0]))
            place = ours + rest.removeprefix(start)
        else:
            place = f"decoder.{rest}"
        found = read(tensors[place])
        assert found is not None, place
        torch.testing.assert_close(
            found.detach(), torch.from_numpy(case[name]), rtol=1e-3, atol=tolerance, msg=name
        )


def fill_value(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Draw a tensor as the README of the golden files says."""
    rng = np.random.RandomState(seed)
    last = name.rsplit(".", 1)[1]
    if last == "running_var":
        values = rng.uniform(0.5, 1.5, shape)
    elif last == "running_mean":
        values = 0.1 * rng.normal(size=shape)
    elif last == "eps":
        values = 0.5 * rng.normal(size=shape)
    elif len(shape) > 1:
        values = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
    elif last == "weight":
        values = 1 + 0.1 * rng.normal(size=shape)
    else:
        values = 0.1 * rng.normal(size=shape)
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def golden_order(network: Rasalore) -> list[str]:
    """Names of all tensors in the order of the golden table."""
    names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    parts = [f"encoder.e{i}." for i in (1, 2, 3, 4)]
    ordered = [name for part in parts for name in names if name.startswith(part)]
    for layers in (("conv1", "bn1", "tconv2", "bn2", "tconv3", "bn3", "skip"),):
        ordered += [n for layer in layers for n in names if n.startswith(f"refiner.{layer}.")]
    rasa = ["eps", *(f"{role}{head}." for role in "qkv" for head in range(4)), "out.", "ffn."]
    ordered += [n for part in rasa for n in names if n.startswith(f"attention.T2.{part}")]
    decoder = ("eps", "attn.", "tconv1.", "tconv2.", "conv_out.", "ln1.", "ln2.")
    ordered += [n for part in decoder for n in names if n.startswith(f"decoder.{part}")]
    return ordered


@pytest.mark.slow
def test_the_published_size_is_the_golden_one(golden: Load) -> None:
    case = golden("full_network")
    size = NetworkSize()
    network = build(size).eval()
    parameters = sum(p.numel() for p in network.parameters())
    assert parameters == case["n_params_trainable"] == 7_254_370
    assert parameters + network.points.numel() < 7_800_000
    state = network.state_dict()
    names = golden_order(network)
    assert len(names) == 96
    base = int(case["fill_base_seed"])
    for number, name in enumerate(names):
        state[name].copy_(fill_value(name, tuple(state[name].shape), base + number))
    lore = location_embeddings(
        size.points, torch.from_numpy(case["P"]), torch.from_numpy(case["corner0"])
    )
    network.points.copy_(lore)
    rows = case["rows"]
    np.testing.assert_allclose(network.points[rows], case["lore_rows"], atol=2e-3)
    images = torch.from_numpy(case["image_u8"]).float()[:, None]
    with torch.no_grad():
        first, features = network.encoder(images)
        refined = network.refiner(first)
        drawing = network(images, "T2")
    found = {
        "refined_sub": refined[:, ::16, ::8, ::8],
        "features_sub": features[:, ::16, ::8, ::8],
        "espe_rows": drawing.embeddings[:, rows],
        "activations": drawing.activations,
        "logits_sub4": drawing.logits[:, ::4, ::4],
        "prob_mean": drawing.probabilities.mean(),
        "prob_std": drawing.probabilities.std(),
    }
    for name, result in found.items():
        np.testing.assert_allclose(result, case[name], atol=1e-3, err_msg=name)
    targets = Targets(
        torch.from_numpy(case["mask_ddpt_256"]).float(),
        active_points(torch.from_numpy(case["mask_ddpt_128"]), size.points),
        torch.from_numpy(case["mask_sam_256"]).float(),
        torch.ones(2, dtype=torch.bool),
    )
    losses = stage_two_loss(drawing, targets, LossSettings())
    means = [float(loss.mean()) for loss in losses.values()]
    np.testing.assert_allclose(means, case["losses_seg_pa_struct"], rtol=1e-3)


def test_four_channels_share_all_but_the_attention() -> None:
    one, four = (
        sum(p.numel() for p in build(names=names).parameters())
        for names in (("T2",), ("T2", "T1", "T1CE", "FLAIR"))
    )
    attention = sum(p.numel() for p in build().attention["T2"].parameters())
    assert four == one + 3 * attention


def test_other_channels_do_not_change_how_the_bridge_starts() -> None:
    states = []
    for names in (("T2",), ("T2", "T1", "FLAIR")):
        states.append(build(names=names).state_dict())
    one, three = states
    assert len(three) > len(one)
    for name, tensor in one.items():
        if name in ("agreement", "negative"):
            continue
        torch.testing.assert_close(three[name], tensor, rtol=0, atol=0)


def test_the_negative_of_a_brain_is_a_brain() -> None:
    network = build(names=("T2", "T1"))
    network.negative[1] = True
    crops = np.array([[0, 0, 1], [100, 254, 255]], dtype=np.uint8)
    assert network.shown("T2", crops) is crops
    shown = network.shown("T1", crops)
    assert shown.tolist() == [[0, 0, 254], [155, 1, 0]]
    assert shown.dtype == np.uint8


def test_channels_weigh_as_much_as_they_learnt() -> None:
    network = build(names=("T2", "T1", "FLAIR"))
    t2, t1, flair = torch.rand(3, 2, 8, 8)
    torch.testing.assert_close(network.fuse({"T1": t1, "T2": t2}), (t1 + t2) / 2)
    network.agreement[:] = torch.tensor([0.6, 0.0, 0.2])
    torch.testing.assert_close(network.fuse({"FLAIR": flair, "T2": t2}), 0.75 * t2 + 0.25 * flair)
    assert (network.fuse({"T2": t2, "T1": t1}) - t2).abs().max() < 0.01
    assert torch.equal(network.fuse({"T1": t1}), t1)


def test_activations_repeat_only_with_integer_frequencies() -> None:
    images = torch.rand(1, 1, 16, 16) * 255
    size = NetworkSize(
        image=16, points=8, channels=(2, 3, 4, 8), refiner=(3, 4), activation=(6, 4),
        upsampling=(5, 4),
    )  # fmt: skip
    for integer in (True, False):
        torch.manual_seed(0)
        network = Rasalore(size, ("T2",), seed=5, integer_frequencies=integer).eval()
        grid = network(images, "T2").activations.reshape(8, 8)
        assert torch.allclose(grid[:4], grid[4:], atol=1e-4) == integer


def test_points_are_part_of_the_state() -> None:
    one = Rasalore(SMALL, ("T2",), seed=5, integer_frequencies=False)
    other = Rasalore(SMALL, ("T2",), seed=6, integer_frequencies=False)
    assert not torch.equal(one.points, other.points)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.points, other.points)


def test_a_channel_starts_from_the_bridge() -> None:
    network = build(names=("T2", "FLAIR")).eval()
    images = torch.rand(1, 1, 16, 16) * 255
    before = network(images, "FLAIR").logits
    network.copy_attention("T2")
    assert not torch.equal(network(images, "FLAIR").logits, before)
    assert torch.equal(network(images, "FLAIR").logits, network(images, "T2").logits)
