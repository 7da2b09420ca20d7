from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from brainad.methods.medsad_clip.adapter import (
    NO_WRITE_BACK,
    Adapter,
    AdapterDesign,
    Advance,
    MultiLevelAdapters,
)

Golden = Callable[[str], Any]
DESIGNS: tuple[AdapterDesign, ...] = ("plain", "normalised")


def known_adapter(known: Any, branch: str, design: AdapterDesign) -> Adapter:
    shared, width = known[f"{branch}_fc1_w"].shape
    adapter = Adapter(width, shared, design, writes_back=True)
    state = {"0.weight": (known[f"{branch}_fc1_w"], known[f"{branch}_fc2_w"])}
    if design == "normalised":
        for part, name in (("1.weight", "w"), ("1.bias", "b")):
            state[part] = (known[f"{branch}_ln1_{name}"], known[f"{branch}_ln2_{name}"])
    first = {f"inwards.{name}": pair[0] for name, pair in state.items()}
    second = {f"outwards.{name}": pair[1] for name, pair in state.items()}
    adapter.load_state_dict({**first, **second})
    return adapter


def keeping(streams: list[torch.Tensor], taps: Sequence[torch.Tensor] = ()) -> Advance:
    """Note the stream that leaves each tap; go on with it, or with given tokens."""

    def advance(tap: int, stream: torch.Tensor) -> torch.Tensor:
        streams.append(stream)
        return taps[tap] if taps else stream

    return advance


@pytest.mark.parametrize("design", DESIGNS)
def test_adapters_and_mixing_match_the_golden_file(golden: Golden, design: AdapterDesign) -> None:
    known = golden("adapter")
    ending = "_ln" if design == "normalised" else ""
    pair = [known_adapter(known, branch, design) for branch in ("seg", "det")]
    for branch, adapter in zip(("seg", "det"), pair, strict=True):
        middle, back = adapter(known["x"])
        assert torch.allclose(middle, known[f"{branch}_mid{ending}"], atol=1e-5)
        assert torch.allclose(back, known[f"{branch}_out{ending}"], atol=1e-5)
    levels = MultiLevelAdapters(2, known["x"].shape[2], 12, design, (0.8, 0.1, 0.1))
    levels.segmentation[0], levels.detection[0] = pair
    streams: list[torch.Tensor] = []
    levels(known["x"], keeping(streams))
    assert torch.allclose(streams[0], known[f"mixed{ending}"], atol=1e-5)


def test_the_last_tap_has_no_way_back_and_nothing_else_goes_without_gradient() -> None:
    torch.manual_seed(0)
    levels = MultiLevelAdapters(3, 8, 6, "normalised", (0.8, 0.1, 0.1))
    names = {name for name, _ in levels.named_parameters() if "outwards" in name}
    assert {name.split(".")[1] for name in names} == {"0", "1"}
    segmentation, detection = levels(torch.randn(2, 5, 8), lambda _tap, x: x).means()
    (segmentation.square().sum() + detection.square().sum()).backward()
    for parameter in levels.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def test_the_branches_reach_each_other_only_through_the_stream() -> None:
    torch.manual_seed(0)
    levels = MultiLevelAdapters(3, 8, 6, "plain", (0.8, 0.1, 0.1))
    segmentation, _ = levels(torch.randn(2, 5, 8), lambda _tap, x: x).means()
    segmentation.square().sum().backward()
    reached = {n for n, p in levels.named_parameters() if p.grad is not None}
    assert "detection.1.outwards.0.weight" in reached
    assert not any(name.startswith("detection.2") for name in reached)


def test_without_writing_back_the_stream_is_untouched() -> None:
    levels = MultiLevelAdapters(3, 8, 6, "normalised", NO_WRITE_BACK)
    assert not any("outwards" in name for name, _ in levels.named_parameters())
    taps = [torch.randn(1, 4, 8) for _ in range(3)]
    passed: list[torch.Tensor] = []
    tokens = levels(taps[0], keeping(passed, taps))
    assert passed[0] is taps[0]
    assert passed[1] is taps[1]
    expected = levels.segmentation[2](taps[2])[0]
    assert torch.equal(tokens.segmentation[2], expected)
