"""Slices of a case and their encoder features, for one channel or set of channels at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainad.case import PreparedCase
from brainad.encoders.encoder import Encoder
from brainad.encoders.slicing import SliceFrame, filled_slices
from brainad.files import value_hash
from brainad.method import Session
from brainad.methods.anyad.layout import Layout, make_layout
from brainad.methods.anyad.plan import AnyADPlan
from brainad.methods.anyad.subsets import Subset
from brainad.training.features import keep_features

_BATCH = 8


@dataclass(frozen=True, eq=False)
class CaseSlices:
    """The slices of a case that are looked at, before encoding.

    Args:
        case: the case.
        channels: trained channels that the case has.
        positions: (n,) along the slice axis, ascending.
    """

    case: PreparedCase
    channels: tuple[str, ...]
    positions: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class CaseFeatures:
    """Features of the slices of one case.

    Args:
        positions: (n,) along the slice axis.
        channels: channels that the case has.
        sources: what was encoded, in the order of the arrays' second axis.
        groups: (n, sources, 2, N, C) float16, shallow and deep mean per token; may lie on disk.
        inside: (n, N) bool, tokens that show brain.
    """

    positions: NDArray[np.intp]
    channels: tuple[str, ...]
    sources: tuple[Subset, ...]
    groups: NDArray[np.float16]
    inside: NDArray[np.bool_]

    def of_set(
        self, members: Sequence[Subset], rows: Sequence[int] | NDArray[np.intp]
    ) -> NDArray[np.float32]:
        """Return (rows, 2, N, C) the mean over the sources that describe a set of channels."""
        columns = [self.sources.index(member) for member in members]
        total = self.groups[rows, columns[0]].astype(np.float32)
        for column in columns[1:]:
            total += self.groups[rows, column]
        total /= len(columns)
        return total


class SliceEncoder:
    """Cuts slices, shows them to the frozen encoder and averages its layers in two groups (2.2).

    Args:
        encoder: frozen.
        plan: settings.
    """

    def __init__(self, encoder: Encoder, plan: AnyADPlan) -> None:
        self._encoder = encoder
        self._plan = plan
        self.layout: Layout = make_layout(plan.layout, plan.channels)

    def frame(self, case: PreparedCase) -> SliceFrame:
        """Return how slices of a case are cut."""
        shape = np.asarray(case.brain).shape
        plan = self._plan
        size = (shape[0], shape[1], shape[2])
        return SliceFrame.fitting(size, plan.slice_axis, plan.image_size, self._encoder.patch_size)

    def slices(
        self, case: PreparedCase, channels: Sequence[str], usable: NDArray[np.bool_] | None = None
    ) -> CaseSlices:
        """Choose the slices of a case that lie on the planned raster and hold enough brain.

        Args:
            case: the case.
            channels: that may be looked at.
            usable: (slices,) bool; None for all.
        """
        plan = self._plan
        filled = filled_slices(np.asarray(case.brain), plan.slice_axis, plan.least_brain)
        # One raster for all cases, so that a place in the brain is seen in every one of them.
        chosen = filled[filled % plan.slice_step == 0]
        if usable is not None:
            chosen = chosen[usable[chosen]]
        present = tuple(channel for channel in channels if channel in case.images)
        return CaseSlices(case, present, chosen)

    def encode(self, slices: CaseSlices, sources: Sequence[Subset]) -> CaseFeatures:
        """Encode slices in memory."""
        images = self._images(slices)
        rows = range(slices.positions.size)
        groups = [
            np.concatenate(
                [
                    self._groups(images, source, rows[start : start + _BATCH])
                    for start in range(0, len(rows), _BATCH)
                ]
            )
            for source in sources
        ]
        return self._features(slices, sources, np.stack(groups, axis=1).astype(np.float16))

    def keep(self, slices: CaseSlices, session: Session) -> CaseFeatures:
        """Encode every source of a case once and keep the result; what is kept is not redone."""
        sources = self.layout.sources(slices.channels)
        images = self._images(slices)
        frame = self.frame(slices.case)
        patch = self._encoder.patch_size
        tokens = (frame.height // patch) * (frame.width // patch)

        def compute(rows: Sequence[int]) -> NDArray[np.float32]:
            return np.stack([self._groups(images, each, rows) for each in sources], axis=1)

        groups = keep_features(
            session,
            f"anyad/{slices.case.case_id}",
            self._key(images, sources),
            (slices.positions.size, len(sources), 2, tokens, self._encoder.width),
            compute,
            _BATCH,
        )
        return self._features(slices, sources, groups)

    def _key(self, images: Mapping[str, Tensor], sources: Sequence[Subset]) -> str:
        """Identify what the encoder sees and how it is read."""
        content = {
            channel: hashlib.sha256(planes.numpy().tobytes()).hexdigest()
            for channel, planes in images.items()
        }
        return value_hash([self._encoder.identity, self._plan.layers, list(sources), content])

    def _images(self, slices: CaseSlices) -> dict[str, Tensor]:
        frame, positions = self.frame(slices.case), slices.positions.tolist()
        return {
            channel: frame.cut(slices.case.images[channel], positions)
            for channel in slices.channels
        }

    def _groups(
        self, images: Mapping[str, Tensor], source: Subset, rows: Sequence[int]
    ) -> NDArray[np.float32]:
        """Return (rows, 2, N, C): means of the shallow and of the deep half of the layers."""
        shown = self.layout.images({c: planes[list(rows)] for c, planes in images.items()}, source)
        layers = self._encoder.encode(shown, self._plan.layers, final_norm=False)
        half = len(layers) // 2
        halves = torch.stack(
            [torch.stack(group).mean(0).flatten(1, 2) for group in (layers[:half], layers[half:])],
            dim=1,
        )
        return halves.float().cpu().numpy()

    def _features(
        self, slices: CaseSlices, sources: Sequence[Subset], groups: NDArray[np.float16]
    ) -> CaseFeatures:
        frame, patch = self.frame(slices.case), self._encoder.patch_size
        brain = np.asarray(slices.case.brain).astype(np.float32)
        planes = frame.cut(brain, slices.positions.tolist())
        share = torch.nn.functional.avg_pool2d(planes, patch)
        inside = (share > 0).flatten(1).numpy()
        return CaseFeatures(slices.positions, slices.channels, tuple(sources), groups, inside)


class FeatureSet:
    """The features of all training slices, dealt into batches of cases with equal channels.

    Args:
        cases: features per case.
        layout: how sources describe a set of channels.
    """

    def __init__(self, cases: Sequence[CaseFeatures], layout: Layout) -> None:
        self.cases = cases
        self._layout = layout
        self._rows = [
            (number, row) for number, case in enumerate(cases) for row in range(case.positions.size)
        ]

    def __len__(self) -> int:
        return len(self._rows)

    def by_channels(self) -> dict[tuple[str, ...], NDArray[np.intp]]:
        """Return the numbers of the slices of cases that have the same channels."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for slice_number, (case_number, _) in enumerate(self._rows):
            groups.setdefault(self.cases[case_number].channels, []).append(slice_number)
        return {channels: np.array(rows) for channels, rows in groups.items()}

    def load(
        self, slices: NDArray[np.intp], subset: Subset, tokens: NDArray[np.intp] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return shallow and deep features (B, N, C) of slices, seen through a set of channels.

        Args:
            slices: numbers of slices whose cases all have these channels.
            subset: the set.
            tokens: (B, n) which tokens of each slice; None for all.
        """
        members = self._layout.members(subset)
        rows = [self._rows[int(number)] for number in slices]
        groups = np.concatenate([self.cases[case].of_set(members, [row]) for case, row in rows])
        if tokens is not None:
            groups = np.take_along_axis(groups, tokens[:, None, :, None], axis=2)
        both = torch.from_numpy(groups)
        return both[:, 0], both[:, 1]

    def draw_tokens(
        self, slices: NDArray[np.intp], count: int, rng: np.random.Generator
    ) -> NDArray[np.intp] | None:
        """Draw (B, count) tokens that show brain; a slice with fewer shows some twice.

        Args:
            slices: numbers of slices.
            count: tokens per slice; 0 for all, which gives None.
            rng: of the epoch.
        """
        if not count:
            return None
        drawn = []
        for number in slices:
            case, row = self._rows[int(number)]
            inside = np.flatnonzero(self.cases[case].inside[row])
            drawn.append(rng.choice(inside, count, replace=inside.size < count))
        return np.stack(drawn)

    def of_case(self, case: CaseFeatures, subset: Subset) -> tuple[Tensor, Tensor]:
        """Return shallow and deep features (n, N, C) of all slices of one case."""
        rows = np.arange(case.positions.size)
        both = torch.from_numpy(case.of_set(self._layout.members(subset), rows))
        return both[:, 0], both[:, 1]
