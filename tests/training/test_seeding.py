from __future__ import annotations

import random

import numpy as np
import torch

from brainad.training.seeding import seed_everything, stream_seed


def test_streams_are_unrelated_and_repeatable() -> None:
    seeds = {
        stream_seed(0, "fit", 1),
        stream_seed(0, "fit", 2),
        stream_seed(1, "fit", 1),
        stream_seed(0, "other", 1),
        stream_seed(0, "fit1"),
    }
    assert len(seeds) == 5
    assert stream_seed(0, "fit", 1) == stream_seed(0, "fit", 1)
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_all_global_states_are_set() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(1))

    seed_everything(5)
    first = draw()
    assert draw() != first
    seed_everything(5)
    assert draw() == first
