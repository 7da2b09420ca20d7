"""The tokens of several volumes at one encoder layer, and random partitions of a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
