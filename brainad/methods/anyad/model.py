"""What is trained: the reconstruction network, and what makes sets of channels alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brainad.methods.anyad.alignment import Adapter, SubsetStatistics, match_moments
from brainad.methods.anyad.losses import Moments
from brainad.methods.anyad.network import Reconstructor
from brainad.methods.anyad.plan import AnyADPlan
from brainad.methods.anyad.subsets import Subset, all_subsets, subset_name

_HEAD_WIDTH = 64


class TrainedModel(nn.Module):
    """Network, adapter if planned, and the statistics that alignment needs.

    Args:
        channels: that are trained.
        width: of an encoder token.
        plan: settings.
        statistics: moments of the deep features, for the modes that need them.
    """

    def __init__(
        self,
        channels: tuple[str, ...],
        width: int,
        plan: AnyADPlan,
        statistics: SubsetStatistics | None,
    ) -> None:
        super().__init__()
        heads = max(width // _HEAD_WIDTH, 1)
        self.network = Reconstructor(width, heads, plan.prototypes, plan.decoder_blocks)
        needs_adapter = plan.alignment == "adapter"
        self.adapter = Adapter(width, all_subsets(channels)) if needs_adapter else None
        self._matches = plan.alignment == "moment"
        self.statistics = statistics

    def aligned(self, deep: Tensor, subset: Subset) -> Tensor:
        """Make (B, N, C) deep features of a set of channels like those of the full set."""
        if self.adapter is not None:
            result: Tensor = self.adapter(deep, subset)
            return result
        if self._matches and self.statistics is not None:
            own = _on(self.statistics.nearest(subset), deep)
            return match_moments(deep, own, _on(self.statistics.reference, deep))
        return deep

    def reference(self, like: Tensor) -> Moments | None:
        """Return the moments that alignment aims at, on the device of a tensor."""
        return None if self.statistics is None else _on(self.statistics.reference, like)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays."""
        arrays = {name: value.cpu().numpy() for name, value in self.state_dict().items()}
        if self.statistics is not None:
            parts = {"": self.statistics.reference} | {
                subset_name(s): moments for s, moments in self.statistics.subsets.items()
            }
            for name, moments in parts.items():
                arrays[f"mean.{name}"] = moments.mean.cpu().numpy()
                arrays[f"std.{name}"] = moments.std.cpu().numpy()
        return arrays

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        channels: tuple[str, ...],
        width: int,
        plan: AnyADPlan,
    ) -> Self:
        """Restore what `arrays` returned."""
        means = _tensors(arrays, "mean.")
        stds = _tensors(arrays, "std.")
        moments = {name: Moments(mean, stds[name]) for name, mean in means.items()}
        statistics = None
        if moments:
            subsets = {tuple(name.split("+")): each for name, each in moments.items() if name}
            statistics = SubsetStatistics(moments[""], subsets)
        with torch.random.fork_rng(devices=[]):
            model = cls(channels, width, plan, statistics)
        weights = {
            name: torch.from_numpy(array.copy())
            for name, array in arrays.items()
            if not name.startswith(("mean.", "std."))
        }
        model.load_state_dict(weights)
        return model.eval()


def _tensors(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): torch.from_numpy(array.copy())
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _on(moments: Moments, like: Tensor) -> Moments:
    return Moments(moments.mean.to(like.device), moments.std.to(like.device))
