"""The tokens of several volumes at one encoder layer, and random partitions of a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainad.methods.codegraph3d.tokens import CaseTokens
from brainad.volume import Shape


@dataclass(frozen=True, eq=False)
class CohortTokens:
    """Tokens of B volumes at one layer, one volume after the other.

    Args:
        tokens: (T, d) float32.
        offsets: (B + 1,) int; volume i owns the tokens offsets[i] to offsets[i + 1].
        cell_index: (T,) int; C-order number of each token's cell in the grid, ascending
            within a volume.
        grid: cells along x, y, z; the same for all volumes.
    """

    tokens: Tensor
    offsets: NDArray[np.int64]
    cell_index: NDArray[np.int64]
    grid: Shape

    def load(self) -> CohortTokens:
        """Return itself: tokens in memory are a block of a `BlockedCohort` too."""
        return self

    @property
    def volumes(self) -> int:
        """Number of volumes, B."""
        return len(self.offsets) - 1

    @property
    def own(self) -> NDArray[np.int64]:
        """Volume of each token, (T,)."""
        return np.repeat(np.arange(self.volumes), np.diff(self.offsets))

    def select(self, keep: NDArray[np.bool_]) -> CohortTokens:
        """Keep some tokens, (T,) bool; every volume stays, possibly without tokens."""
        kept = np.concatenate([[0], np.cumsum(keep)])[self.offsets]
        on_device = torch.from_numpy(keep).to(self.tokens.device)
        return replace(
            self,
            tokens=self.tokens[on_device],
            offsets=kept.astype(np.int64),
            cell_index=self.cell_index[keep],
        )

    def volume(self, number: int) -> CohortTokens:
        """Take one volume alone."""
        start, stop = self.offsets[number : number + 2]
        return replace(
            self,
            tokens=self.tokens[start:stop],
            offsets=np.array([0, stop - start]),
            cell_index=self.cell_index[start:stop],
        )


class Block(Protocol):
    """Some volumes of a cohort whose tokens are loaded when they are needed."""

    def load(self) -> CohortTokens:
        """Return the tokens."""


@dataclass(frozen=True, eq=False)
class BlockedCohort:
    """A cohort at one layer in blocks, so that nobody has to hold all of its tokens.

    Args:
        blocks: the volumes, in order, some at a time; loading a block twice gives the same.
        offsets: (B + 1,) int; volume i owns the tokens offsets[i] to offsets[i + 1].
        edges: (blocks + 1,) int; block k holds the volumes edges[k] to edges[k + 1].
    """

    blocks: Sequence[Block]
    offsets: NDArray[np.int64]
    edges: NDArray[np.int64]

    @property
    def volumes(self) -> int:
        """Number of volumes, B."""
        return len(self.offsets) - 1

    @property
    def own(self) -> NDArray[np.int64]:
        """Volume of each token, (T,)."""
        return np.repeat(np.arange(self.volumes), np.diff(self.offsets))

    def rows(self, block: int) -> slice:
        """Return where the tokens of a block are."""
        return slice(int(self.offsets[self.edges[block]]), int(self.offsets[self.edges[block + 1]]))

    def columns(self, block: int) -> slice:
        """Return where the volumes of a block are."""
        return slice(int(self.edges[block]), int(self.edges[block + 1]))


def one_block(cohort: CohortTokens) -> BlockedCohort:
    """Take tokens in memory as a cohort of one block."""
    return BlockedCohort((cohort,), cohort.offsets, np.array([0, cohort.volumes]))


def stack_cases(
    cases: Sequence[CaseTokens], layer: int, device: torch.device | str = "cpu"
) -> CohortTokens:
    """Join one layer of several cases.

    Args:
        cases: tokenised cases on the same grid.
        layer: position in ``CaseTokens.layers``.
        device: where the joined tokens go.

    Raises:
        ValueError: the grids differ.
    """
    grids = {case.cells.shape for case in cases}
    if len(grids) != 1:
        raise ValueError(f"cases must share one grid, found {sorted(grids)}")
    nx, ny, nz = grids.pop()
    index = [np.flatnonzero(case.cells) for case in cases]
    offsets = np.concatenate([[0], np.cumsum([len(cells) for cells in index])])
    tokens = torch.cat([case.layers[layer] for case in cases]).to(device)
    return CohortTokens(tokens, offsets.astype(np.int64), np.concatenate(index), (nx, ny, nz))


def split_cohort(volumes: int, chunks: int, seed: int) -> list[NDArray[np.int64]]:
    """Partition a cohort at random into chunks that are scored apart.

    The legacy generator is used because its stream never changes between numpy versions.

    Args:
        volumes: number of volumes, B.
        chunks: number of parts; sizes differ by at most one, larger parts come first.
        seed: of the permutation.

    Returns:
        Per chunk the volume numbers.
    """
    order = np.random.RandomState(seed).permutation(volumes).astype(np.int64)
    return list(np.array_split(order, chunks))
