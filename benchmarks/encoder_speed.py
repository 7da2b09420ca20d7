"""Slices per second of the embedded encoder, against plain matrix products in the same process.

python benchmarks/encoder_speed.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from brainad.cli.tables import format_table
from brainad.encoders.encoder import load_encoder
from brainad.workspace import find_workspace

LAYERS = (3, 6, 9)
EDGE = 224
# Multiplications and additions of nine blocks of ViT-S/14 on 257 tokens.
GFLOP_PER_SLICE = 9.1
MATRIX = 2048


def best_seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the fastest of a few runs, after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    encoder = load_encoder("dinov2_vits14", find_workspace({}).weights, torch.device("cpu"))
    square = torch.rand(MATRIX, MATRIX)
    rows = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        product = 2 * MATRIX**3 / 1e9 / best_seconds(lambda: square @ square)
        for batch in (4, 8, 16):
            slices = torch.rand(batch, EDGE, EDGE)
            seconds = best_seconds(lambda: encoder.encode(slices, LAYERS, final_norm=False))  # noqa: B023
            speed = batch / seconds
            rows.append(
                {
                    "threads": threads,
                    "batch": batch,
                    "slices/s": speed,
                    "GFLOP/s": speed * GFLOP_PER_SLICE,
                    "share of matrix product": speed * GFLOP_PER_SLICE / product,
                }
            )
    print(format_table(rows))


if __name__ == "__main__":
    main()
