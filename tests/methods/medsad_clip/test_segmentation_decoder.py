from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from brainad.methods.medsad_clip.map_maker import probabilities
from brainad.methods.medsad_clip.segmentation_decoder import SegmentationDecoder, upsample

Golden = Callable[[str], Any]
# Places of the convolutions and norms in the stack of layers.
_CONVOLUTIONS, _NORMS = (0, 3, 7, 11), (1, 4, 8)


def known_decoder(known: Any) -> SegmentationDecoder:
    widths = tuple(int(known[f"c{number}_w"].shape[0]) for number in (1, 2, 3))
    decoder = SegmentationDecoder(
        known["tokens"].shape[2], (widths[0], widths[1], widths[2]), int(known["groups"])
    )
    state = {}
    for letter, places in (("c", _CONVOLUTIONS), ("g", _NORMS)):
        for number, place in enumerate(places, start=1):
            state[f"layers.{place}.weight"] = known[f"{letter}{number}_w"]
            state[f"layers.{place}.bias"] = known[f"{letter}{number}_b"]
    decoder.load_state_dict(state)
    return decoder


def test_the_decoder_matches_the_golden_file(golden: Golden) -> None:
    known = golden("segdecoder")
    rows, columns = known["grid"].tolist()
    logits = known_decoder(known)(known["tokens"], (rows, columns))
    assert torch.allclose(logits, known["logits"], atol=1e-4)
    size = tuple(known["logits_up"].shape[2:])
    assert torch.allclose(upsample(logits, size), known["logits_up"], atol=1e-4)
    found = probabilities(logits, size)
    assert torch.allclose(found, known["probs"], atol=1e-4)
    assert not torch.allclose(found, known["probs_softmax_before_upsample"], atol=1e-3)


def test_an_image_is_decoded_alike_alone_and_in_company() -> None:
    torch.manual_seed(0)
    decoder = SegmentationDecoder(6, (8, 8, 4), 4)
    tokens = torch.randn(3, 6, 6)
    together = decoder(tokens, (2, 3))
    assert together.shape == (3, 2, 8, 12)
    assert torch.allclose(together[1:2], decoder(tokens[1:2], (2, 3)), atol=1e-6)


def test_rows_and_columns_are_not_swapped() -> None:
    decoder = SegmentationDecoder(1, (4, 4, 4), 1)
    tokens = torch.zeros(1, 6, 1)
    tokens[0, 5] = 100.0
    changed = (decoder(tokens, (2, 3)) - decoder(torch.zeros(1, 6, 1), (2, 3))).abs().sum(1)[0]
    assert changed[4:, 8:].mean() > changed[:4, :4].mean()
