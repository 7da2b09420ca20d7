"""Time and memory of the token-to-volume distance table, on one thread.

Prints how `global` and `local` matching compare with the plain way (every volume against all
others with torch.cdist, then minima) and with the bare matrix products of all unordered pairs.
Peak memory is measured in a fresh process per cohort size.

    python benchmarks/mutual_scoring.py [--volumes 24] [--tokens 1400] [--width 384]
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brainad.methods.codegraph3d.cohort import CohortTokens
from brainad.methods.codegraph3d.matching import cohort_distances

GRID = (16, 16, 16)


def brain_like_cohort(volumes: int, tokens: int, width: int, seed: int) -> CohortTokens:
    """Draw random tokens on cells of an ellipsoid; each volume misses a few of its cells."""
    rng = np.random.default_rng(seed)
    position = np.indices(GRID).reshape(3, -1).T
    radius = (((position - 7.5) / [7.0, 8.0, 6.2]) ** 2).sum(1)
    ellipsoid = np.argsort(radius, kind="stable")[: tokens + tokens // 30]
    cells = [np.sort(rng.permutation(ellipsoid)[:tokens]) for _ in range(volumes)]
    values = torch.from_numpy(rng.standard_normal((volumes * tokens, width), dtype=np.float32))
    return CohortTokens(values, np.arange(volumes + 1) * tokens, np.concatenate(cells), GRID)


def all_others(parts: list[Tensor], indices: bool) -> None:
    """Compare each volume with all others joined, then take minima over each of them."""
    for number, part in enumerate(parts):
        others = torch.cat(parts[:number] + parts[number + 1 :])
        distances = torch.cdist(part, others).reshape(len(part), len(parts) - 1, -1)
        if indices:
            distances.min(2)
        else:
            distances.amin(2)


def one_by_one(parts: list[Tensor]) -> None:
    """Compare each volume with one other at a time."""
    for number, part in enumerate(parts):
        for other in parts[:number] + parts[number + 1 :]:
            torch.cdist(part, other).amin(1)


def bare_products(parts: list[Tensor]) -> None:
    """Multiply every unordered pair into one buffer and use nothing of it."""
    buffer = torch.empty(len(parts[0]), len(parts[0]))
    for first, second in combinations(parts, 2):
        torch.mm(first, second.T, out=buffer)


def seconds(action: Callable[[], object]) -> float:
    """Time one run."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def print_times(volumes: int, tokens: int, width: int) -> None:
    cohort = brain_like_cohort(volumes, tokens, width, seed=0)
    parts = list(cohort.tokens.split(tokens))
    warm_up = brain_like_cohort(2, tokens, width, seed=1)
    cohort_distances(warm_up)
    cohort_distances(warm_up, radius=1)
    taken = {
        "bare products": seconds(lambda: bare_products(parts)),
        "global": seconds(lambda: cohort_distances(cohort)),
        "local, radius 1": seconds(lambda: cohort_distances(cohort, radius=1)),
        "local, radius 2": seconds(lambda: cohort_distances(cohort, radius=2)),
        "cdist to all others, min": seconds(lambda: all_others(parts, indices=True)),
        "cdist to all others, amin": seconds(lambda: all_others(parts, indices=False)),
        "cdist one by one, amin": seconds(lambda: one_by_one(parts)),
    }
    print(f"{volumes} volumes of {tokens} tokens, d = {width}, 1 thread, 1 run")
    print(f"{'':28}{'seconds':>9}{'÷ bare':>9}{'global is':>11}{'local is':>10}")
    for name, time_s in taken.items():
        print(
            f"{name:28}{time_s:9.2f}{time_s / taken['bare products']:9.2f}"
            f"{time_s / taken['global']:10.1f}x{time_s / taken['local, radius 1']:9.1f}x"
        )


def peak_mib(volumes: int, tokens: int, width: int, radius: int | None) -> tuple[float, float]:
    """Measure resident memory in MiB before matching and at its peak, in this process."""
    torch.set_num_threads(1)
    cohort_distances(brain_like_cohort(2, 50, width, seed=1), radius)
    cohort = brain_like_cohort(volumes, tokens, width, seed=0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_resident_mib()
    cohort_distances(cohort, radius)
    return before, _peak_resident_mib()


def _peak_resident_mib() -> float:
    """Read the peak since it was last reset; getrusage would keep the parent's peak."""
    line = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert line is not None
    return int(line[1]) / 1024


def print_memory(volumes: int, tokens: int, width: int) -> None:
    context = multiprocessing.get_context("spawn")
    print(f"\n{'peak memory':20}{'volumes':>9}{'extra MiB':>11}{'per volume':>12}")
    for name, radius in (("global", None), ("local, radius 1", 1)):
        for count in (volumes // 4, volumes // 2, volumes, 2 * volumes):
            with context.Pool(1) as pool:
                before, peak = pool.apply(peak_mib, (count, tokens, width, radius))
            extra = peak - before
            print(f"{name:20}{count:9}{extra:11.0f}{extra / count:12.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=1400)
    parser.add_argument("--width", type=int, default=384)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print_times(options.volumes, options.tokens, options.width)
    print_memory(options.volumes, options.tokens, options.width)


if __name__ == "__main__":
    main()
