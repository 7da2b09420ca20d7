from __future__ import annotations

import torch

from brainad.encoders.tiny import tiny_encoder

CPU = torch.device("cpu")


def test_same_seed_gives_the_same_tokens() -> None:
    slices = torch.rand((2, 28, 42), generator=torch.Generator().manual_seed(1))
    first, second, other = (tiny_encoder(seed, CPU).encode(slices, [4], True) for seed in (7, 7, 8))
    assert torch.equal(first[0], second[0])
    assert not torch.allclose(first[0], other[0])


def test_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    tiny_encoder(3, CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_tokens_answer_to_content_more_than_to_place() -> None:
    blank = torch.full((1, 56, 56), 0.2)
    marked = blank.clone()
    marked[0, 14:28, 28:42] = 0.9
    encoder = tiny_encoder(0, CPU)
    (plain,), (changed,) = (encoder.encode(image, [2], False) for image in (blank, marked))
    by_place = (plain[0] - plain[0, 0, 0]).norm(dim=-1).max()
    by_content = (changed - plain)[0, 1, 2].norm()
    assert by_content > 3 * by_place
