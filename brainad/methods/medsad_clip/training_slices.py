"""Which slices are learnt from, and reading them."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainad.case import TrainingCase
from brainad.encoders.slicing import SliceFrame, filled_slices, pixel_mm2
from brainad.errors import UsageError
from brainad.methods.medsad_clip.views import Views
from brainad.training.sampling import spread_over

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SliceRules:
    """Which slices are learnt from.

    Args:
        channel: that is looked at.
        step: every how manieth slice of the working grid.
        least_brain: share of the fullest slice's brain area that a slice must have.
        normal_per_abnormal: normal slices kept per slice with a lesion of the same case.
        normal_per_healthy: normal slices kept of a case without lesion.
        smallest_area_mm2: slices with a smaller lesion teach pixels but no slice label.
    """

    channel: str
    step: int
    least_brain: float
    normal_per_abnormal: float
    normal_per_healthy: int
    smallest_area_mm2: float


@dataclass(frozen=True, eq=False)
class ChosenSlices:
    """Slices that are learnt from, in the order of cases and slices.

    Args:
        case: (n,) number of the case.
        index: (n,) along the slice axis.
        area_mm2: (n,) lesion area.
        checksum: (n,) of image and mask.
        abnormal_share: share of slices with a lesion before any were left out.
        smallest_area_mm2: below it a lesion gives no slice label.
    """

    case: NDArray[np.intp]
    index: NDArray[np.intp]
    area_mm2: NDArray[np.float64]
    checksum: NDArray[np.int64]
    abnormal_share: float
    smallest_area_mm2: float

    def __len__(self) -> int:
        return len(self.case)

    @property
    def abnormal(self) -> NDArray[np.bool_]:
        """Return (n,) whether the slice shows a lesion of any size."""
        return np.asarray(self.area_mm2 > 0)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Return (n,) whether the slice teaches a slice label."""
        return np.asarray(~self.abnormal | (self.area_mm2 >= self.smallest_area_mm2))

    def at_most(self, count: int) -> ChosenSlices:
        """Keep an evenly spread part of the slices with and of those without a lesion."""
        if len(self) <= count:
            return self
        _log.info("learning from %d of %d slices, what the planned disk space holds",
                  count, len(self))  # fmt: skip
        kinds = [np.flatnonzero(self.abnormal), np.flatnonzero(~self.abnormal)]
        shares = [max(count * len(kind) // len(self), 1) for kind in kinds]
        return self._subset(
            np.sort(
                np.concatenate(
                    [
                        kind[spread_over(len(kind), share)]
                        for kind, share in zip(kinds, shares, strict=True)
                    ]
                )
            )
        )

    def _subset(self, rows: NDArray[np.intp]) -> ChosenSlices:
        return ChosenSlices(
            self.case[rows],
            self.index[rows],
            self.area_mm2[rows],
            self.checksum[rows],
            self.abnormal_share,
            self.smallest_area_mm2,
        )


def choose_slices(cases: Sequence[TrainingCase], axis: int, rules: SliceRules) -> ChosenSlices:
    """Choose the slices with a lesion and a limited number without.

    What is chosen of a case does not depend on the other cases, so that features that were kept
    for one fold serve the others.

    Args:
        cases: with voxel targets; cases without the channel are left out.
        axis: that slices count along.
        rules: which slices.

    Raises:
        UsageError: slices with a lesion or slices without are missing.
    """
    rows: list[tuple[int, int, float, int]] = []
    seen = abnormal = 0
    for number, training in enumerate(cases):
        if rules.channel not in training.case.images:
            continue
        indices, areas = _slices_of(training, axis, rules)
        seen, abnormal = seen + indices.size, abnormal + int((areas > 0).sum())
        planes = _planes(training, axis, rules.channel)
        for each in _balanced(areas, rules):
            index = int(indices[each])
            rows.append((number, index, float(areas[each]), _checksum(*planes, index)))
    area = np.array([row[2] for row in rows])
    _require_both(area, rules.channel)
    return ChosenSlices(
        np.array([row[0] for row in rows]),
        np.array([row[1] for row in rows]),
        area,
        np.array([row[3] for row in rows]),
        abnormal / seen,
        rules.smallest_area_mm2,
    )


def _planes(
    training: TrainingCase, axis: int, channel: str
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return image and lesion mask with the slice axis first."""
    target = training.target
    assert target is not None, "voxel supervision hands over a mask"
    image = np.asarray(training.case.images[channel])
    return np.moveaxis(image, axis, 0), np.moveaxis(np.asarray(target), axis, 0)


def _slices_of(
    training: TrainingCase, axis: int, rules: SliceRules
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the slices of a case that may be learnt from, and their lesion areas in mm²."""
    filled = filled_slices(np.asarray(training.case.brain), axis, rules.least_brain)
    indices = filled[(filled % rules.step == 0) & training.usable[filled]]
    _, masks = _planes(training, axis, rules.channel)
    return indices, masks[indices].sum(axis=(1, 2)) * pixel_mm2(
        training.case.placement.working.spacing_mm, axis
    )


def _balanced(areas: NDArray[np.float64], rules: SliceRules) -> NDArray[np.intp]:
    """Keep all slices of a case with a lesion, and evenly spread some without."""
    abnormal, normal = np.flatnonzero(areas > 0), np.flatnonzero(areas == 0)
    wanted = rules.normal_per_healthy
    if abnormal.size:
        wanted = int(rules.normal_per_abnormal * abnormal.size)
    return np.sort(np.concatenate([abnormal, normal[spread_over(normal.size, wanted)]]))


def _checksum(images: NDArray[np.float32], masks: NDArray[np.bool_], index: int) -> int:
    return zlib.crc32(images[index].tobytes() + masks[index].tobytes())


def _require_both(area: NDArray[np.float64], channel: str) -> None:
    abnormal, normal = int((area > 0).sum()), int((area == 0).sum())
    if not (abnormal and normal):
        raise UsageError(
            f"found {abnormal} slices with a lesion and {normal} without in channel {channel}",
            "medsad_clip",
            "it learns from both: give cases with lesion masks, and slices or cases without lesion",
        )


class SliceReader:
    """Reads versions of chosen slices; a row is one version of one slice.

    Args:
        cases: with voxel targets.
        chosen: slices.
        frame: how slices are cut and sized.
        views: versions.
        channel: that is looked at.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        chosen: ChosenSlices,
        frame: SliceFrame,
        views: Views,
        channel: str,
    ) -> None:
        self._cases = cases
        self._chosen = chosen
        self._frame = frame
        self._views = views
        self._channel = channel
        self._number = -1
        self._case: TrainingCase | None = None

    def read(self, rows: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return images and masks (rows, height, width)."""
        pairs = [self._row(row) for row in rows]
        return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])

    def _row(self, row: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        number, view = divmod(row, len(self._views))
        index = int(self._chosen.index[number])
        training = self._read_case(int(self._chosen.case[number]))
        _, masks = _planes(training, self._frame.axis, self._channel)
        image = self._frame.cut(training.case.images[self._channel], [index])[0].numpy()
        mask = self._frame.cut(_as_volume(masks[index], self._frame.axis), [0])[0].numpy() >= 0.5
        return self._views.make(image, mask, f"{training.case.case_id}/{index}", view)

    def _read_case(self, number: int) -> TrainingCase:
        """Read a case once for all its rows, which follow each other."""
        if self._case is None or number != self._number:
            self._number, self._case = number, self._cases[number]
        return self._case


def _as_volume(plane: NDArray[np.bool_], axis: int) -> NDArray[np.float32]:
    return np.expand_dims(plane.astype(np.float32), axis)
