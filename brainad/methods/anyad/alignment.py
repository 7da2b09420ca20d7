"""Make the deep features of every set of channels alike (specification, sections 3.3 and 3.4).

``none`` leaves them; ``monitor`` measures the published loss, which trains nothing; ``moment``
gives them the mean and spread of the full set in closed form; ``adapter`` trains a small residual
map with the alignment loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import gelu

from brainad.methods.anyad.losses import Moments
from brainad.methods.anyad.subsets import Subset, nearest_subset, subset_name

AlignmentMode = Literal["none", "monitor", "moment", "adapter"]
_LARGEST_RATIO = 4.0
_SMALLEST_STD = 1e-8
_NARROWING = 8


class RunningMoments:
    """Mean and spread of any number of tokens, in constant memory and float64.

    Args:
        width: features per token.
    """

    def __init__(self, width: int) -> None:
        self._count = 0
        self._mean = np.zeros(width)
        self._squares = np.zeros(width)

    def add(self, tokens: NDArray[np.float32]) -> None:
        """Add (n, C) tokens (Chan et al. 1983: parallel update of mean and squares)."""
        values = tokens.astype(np.float64)
        count, mean = values.shape[0], values.mean(axis=0)
        squares = ((values - mean) ** 2).sum(axis=0)
        total = self._count + count
        step = mean - self._mean
        self._squares += squares + step**2 * (self._count * count / total)
        self._mean += step * (count / total)
        self._count = total

    def moments(self) -> Moments:
        """Return mean and unbiased standard deviation, float32."""
        std = np.sqrt(self._squares / max(self._count - 1, 1))
        return Moments(torch.from_numpy(self._mean).float(), torch.from_numpy(std).float())


@dataclass(frozen=True, eq=False)
class SubsetStatistics:
    """Moments of the deep features of normal slices.

    Args:
        reference: of slices with all the channels they have.
        subsets: per set of channels that occurred.
    """

    reference: Moments
    subsets: Mapping[Subset, Moments]

    def nearest(self, subset: Subset) -> Moments:
        """Return the moments of a set, or of the trained set that is nearest."""
        return self.subsets[nearest_subset(subset, tuple(self.subsets))]


def match_moments(deep: Tensor, own: Moments, reference: Moments) -> Tensor:
    """Give (B, N, C) features of a set the mean and spread of the reference, in closed form."""
    ratio = reference.std / own.std.clamp_min(_SMALLEST_STD)
    ratio = ratio.clamp(1 / _LARGEST_RATIO, _LARGEST_RATIO)
    return (deep - own.mean) * ratio + reference.mean


class Adapter(nn.Module):
    """A residual map of deep features that knows which channels are there; starts as identity.

    Args:
        width: C.
        subsets: all sets of channels.
    """

    def __init__(self, width: int, subsets: tuple[Subset, ...]) -> None:
        super().__init__()
        narrow = max(width // _NARROWING, 1)
        self.down = nn.Linear(width, narrow)
        self.up = nn.Linear(narrow, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)
        self.vectors = nn.ParameterDict(
            {subset_name(subset): nn.Parameter(torch.zeros(width)) for subset in subsets}
        )

    def forward(self, deep: Tensor, subset: Subset) -> Tensor:
        """Map (B, N, C) features of a set of channels to features like those of the full set."""
        shifted = deep + self.vectors[subset_name(subset)]
        result: Tensor = deep + self.up(gelu(self.down(shifted)))
        return result
