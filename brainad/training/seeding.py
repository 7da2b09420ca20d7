"""The one place where global random states are set."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


def stream_seed(seed: int, *purpose: str | int) -> int:
    """Return the seed of one purpose, so that one choice never shifts another.

    Args:
        seed: of the whole training.
        purpose: names and numbers; different ones give unrelated seeds.

    Returns:
        A seed in 0 … 2³² − 1.
    """
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def seed_everything(seed: int) -> None:
    """Set the global states of Python, numpy and torch, GPUs included."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
