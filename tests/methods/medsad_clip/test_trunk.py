from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from brainad.encoders.clip import clip_image_tower
from brainad.encoders.image_tower import resize_positions
from brainad.encoders.vision_language import load_vision_language
from brainad.methods.medsad_clip.adapter import MultiLevelAdapters
from brainad.methods.medsad_clip.trunk import Trunk

Golden = Callable[[str], Any]
_CPU = torch.device("cpu")


@pytest.mark.parametrize(("activation", "key"), [("gelu", "gelu"), ("quick_gelu", "quickgelu")])
def test_the_adapted_trunk_matches_the_golden_file(
    golden: Golden, golden_vision: Callable[..., Any], activation: str, key: str
) -> None:
    known = golden("trunk")
    tower = clip_image_tower(golden_vision(known, activation), _CPU)
    taps, mix = known["taps"].tolist(), tuple(known["mix"].tolist())
    shared, width = known["seg_fc1_w"].shape[1:]
    # One adapter more than there are taps, so that the last tap writes back and can be compared.
    adapters = MultiLevelAdapters(len(taps) + 1, width, shared, "plain", mix)
    for branch, name in ((adapters.segmentation, "seg"), (adapters.detection, "det")):
        for tap in range(len(taps)):
            weights = {
                "inwards.0.weight": known[f"{name}_fc1_w"][tap],
                "outwards.0.weight": known[f"{name}_fc2_w"][tap],
            }
            branch[tap].load_state_dict(weights)
    trunk = Trunk(tower, taps)
    streams: list[torch.Tensor] = []

    def advance(tap: int, tokens: torch.Tensor) -> torch.Tensor:
        streams.append(tokens)
        return tokens if tap == len(taps) else trunk.advance(tap, tokens)

    with torch.no_grad():
        first = trunk.advance(0, tower.stem(known["pixel_values"]))
        found = adapters(first, advance)
        pooled = tower.head(streams[-1][:, 0])
    for name, tokens in (("seg", found.segmentation), ("det", found.detection)):
        stacked = torch.stack(list(tokens[: len(taps)]))
        assert torch.allclose(stacked, known[f"{name}_tokens_{key}"], atol=1e-4)
        assert torch.allclose(stacked.mean(0), known[f"{name}_avg_{key}"], atol=1e-4)
    assert torch.allclose(pooled, known[f"pooled_{key}"], atol=1e-4)


def test_position_tables_match_the_golden_file(golden: Golden) -> None:
    known = golden("posembed")
    for case, side in enumerate(known["dst_grid"].tolist()):
        found = resize_positions(known[f"pe_in_{case}"], (side, side))
        assert torch.allclose(found, known[f"pe_out_{case}"], atol=1e-5)
        assert not torch.allclose(found, known[f"pe_out_noantialias_{case}"], atol=1e-5)


def test_all_taps_are_those_of_the_tower_run_in_one_go(tmp_path: Any) -> None:
    tower = load_vision_language("tiny", tmp_path, _CPU).image
    trunk = Trunk(tower, (1, 3, 4))
    slices = torch.rand(2, 28, 42)
    found = trunk.all_taps(slices)
    with torch.no_grad():
        for tap, depth in enumerate((1, 3, 4)):
            expected = tower.run(tower.embed(slices), 0, depth)
            assert torch.allclose(found[:, tap], expected, atol=1e-6)
    assert found.shape == (2, 3, tower.leading + 6, tower.width)
    assert torch.equal(found[:, 0], trunk.enter(slices))


def test_gradients_pass_through_the_blocks_but_not_before_the_first_tap(tmp_path: Any) -> None:
    tower = load_vision_language("tiny", tmp_path, _CPU).image
    trunk = Trunk(tower, (2, 4))
    first = trunk.enter(torch.rand(1, 28, 28))
    assert not first.requires_grad
    changed = first.clone().requires_grad_()
    trunk.advance(1, changed).sum().backward()
    assert changed.grad is not None
    assert changed.grad.abs().sum() > 0
