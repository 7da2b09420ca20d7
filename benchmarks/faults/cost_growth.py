"""How time and memory of cohort scoring grow with the number of cases, and what a bank costs.

Random tokens on the cells of an ellipsoid are stored like encodings; one layer is scored from
disk, in blocks, in a fresh process per size. Times are of the processor, because machines are
shared. Exponents are slopes of straight lines through the logarithms.

    python -m benchmarks.faults.cost_growth [--sizes 12 24 48 96] [--tokens 1640] [--width 384]
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from brainad.arrays import ArrayFolder, Arrays
from brainad.methods.codegraph3d.cohort import BlockedCohort, CohortTokens
from brainad.methods.codegraph3d.scoring import ScoreSettings, score_against_bank, score_blocks

_GRID = (16, 16, 16)
_SCANS = 10_000


@dataclass(frozen=True)
class StoredBlock:
    """Some stored token sets."""

    folder: ArrayFolder
    names: Sequence[str]

    def load(self) -> CohortTokens:
        """Read the tokens."""
        stored = [self.folder.read(name) for name in self.names]
        tokens = [torch.from_numpy(each["tokens"].astype(np.float32)) for each in stored]
        offsets = np.concatenate([[0], np.cumsum([len(each) for each in tokens])])
        cells = np.concatenate([each["cells"] for each in stored])
        return CohortTokens(torch.cat(tokens), offsets.astype(np.int64), cells, _GRID)


def write_tokens(folder: ArrayFolder, cases: int, tokens: int, width: int) -> list[str]:
    """Store random token sets and return their names."""
    position = np.indices(_GRID).reshape(3, -1).T
    radius = (((position - 7.5) / [7.0, 8.0, 6.2]) ** 2).sum(1)
    ellipsoid = np.sort(np.argsort(radius, kind="stable")[:tokens])
    names = []
    for number in range(cases):
        values = np.random.default_rng(number).standard_normal((tokens, width), np.float32)
        arrays: Arrays = {"tokens": values.astype(np.float16), "cells": ellipsoid}
        names.append(f"set{number:04d}")
        folder.write(names[-1], "key", arrays)
    return names


def cost(folder: Path, names: list[str], radius: int | None, block: int) -> tuple[float, float]:
    """Score the sets as a cohort in this process: seconds of processor time and peak GiB."""
    torch.set_num_threads(1)
    stored = ArrayFolder(folder, compressed=False)
    edges = np.array([*range(0, len(names), block), len(names)])
    blocks = [StoredBlock(stored, names[a:b]) for a, b in itertools.pairwise(edges)]
    tokens = len(stored.open(names[0])["cells"])
    cohort = BlockedCohort(blocks, np.arange(len(names) + 1) * tokens, edges)
    started = time.process_time()
    score_blocks(cohort, ScoreSettings(radius=radius), 0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return time.process_time() - started, peak


def bank_seconds(folder: Path, names: list[str], radius: int | None) -> float:
    """Score one set against all others as a bank, in this process."""
    torch.set_num_threads(1)
    stored = ArrayFolder(folder, compressed=False)
    bank = StoredBlock(stored, names[1:]).load()
    case = StoredBlock(stored, names[:1]).load()
    score_against_bank(case, bank, ScoreSettings(radius=radius))
    started = time.process_time()
    score_against_bank(case, bank, ScoreSettings(radius=radius))
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[12, 24, 48, 96])
    parser.add_argument("--tokens", type=int, default=1640)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--block", type=int, default=16)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as home:
        folder = ArrayFolder(Path(home), compressed=False)
        names = write_tokens(folder, max(options.sizes), options.tokens, options.width)
        print(f"{options.tokens} tokens of {options.width} values, blocks of {options.block}, one")
        print("layer, one thread (random tokens)")
        for matching, radius in (("global", None), ("local", 1)):
            times, peaks = [], []
            for size in options.sizes:
                with context.Pool(1) as pool:
                    arguments = (Path(home), names[:size], radius, options.block)
                    seconds, peak = pool.apply(cost, arguments)
                times.append(seconds)
                peaks.append(peak)
                print(f"{matching:8}{size:6} cases {seconds:9.2f} s {peak:8.2f} GiB peak")
            exponent = np.polyfit(np.log(options.sizes), np.log(times), 1)[0]
            growth = np.polyfit(np.log(options.sizes), np.log(peaks), 1)[0]
            print(f"{matching:8}time grows as B^{exponent:.2f}, peak memory as B^{growth:.2f}")
            with context.Pool(1) as pool:
                one = pool.apply(bank_seconds, (Path(home), names, radius))
            bank = len(names) - 1
            print(
                f"{matching:8}one scan against a bank of {bank}: {one:.2f} s per layer; "
                f"{_SCANS} scans: {_SCANS} * L * {one / bank:.4f} s * B / cores, here "
                f"{_SCANS * one / 3600:.1f} core hours per layer"
            )


if __name__ == "__main__":
    main()
