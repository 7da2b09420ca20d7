"""Pseudo masks of all anomalous training slices, kept where a person can look at them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainad.case import TrainingCase
from brainad.encoders.slicing import SliceFrame, resized
from brainad.files import value_hash
from brainad.method import Session
from brainad.methods.rasalore.entering import EnteringSlices
from brainad.methods.rasalore.examples import Example, rows_by_case
from brainad.methods.rasalore.prompt_tuning import Answer, PromptTuning
from brainad.methods.rasalore.pseudo_masks import (
    UsualMaps,
    attention_maps,
    cleaned,
    through_plane,
    without_outliers,
)

_log = logging.getLogger(__name__)

_BATCH = 16


@dataclass(frozen=True)
class MaskSettings:
    """How attention becomes a pseudo mask; clean-up is off as published unless planned.

    Args:
        attention: ``class_token``: what the class token pays to each patch (published);
            ``class_difference``: where the unhealthy class looks more than the healthy one;
            ``evidence``: what each patch adds to the unhealthy class over the healthy one.
        against_healthy: 0, or how far away in mm healthy slices count that a map is compared with:
            what is unusual there is drawn, not what tells the height of a slice.
        through_plane: 0, or over how many mm maps of a case's unhealthy slices are averaged.
        without_outliers: leave out patches in which a transformer without registers parks
            global information.
        smoothing: standard deviation in patches.
        threshold: share of the largest value of a map.
        inside_brain: keep only what lies in the brain.
        smallest: pixels of a component that is kept; 0 keeps all.
    """

    attention: Literal["class_token", "class_difference", "evidence"] = "class_token"
    against_healthy: float = 0.0
    through_plane: float = 0.0
    without_outliers: bool = False
    smoothing: float = 0.0
    threshold: float = 0.5
    inside_brain: bool = False
    smallest: int = 0


@dataclass(frozen=True, eq=False)
class MaskMaker:
    """Turns what was learnt in stage 1 into masks.

    Args:
        tuning: after stage 1.
        frame: how slices were shown to the tower.
        axis: that slices count along.
        slice_mm: distance of neighbouring slices.
        settings: of the masks.
    """

    tuning: PromptTuning
    frame: SliceFrame
    axis: int
    slice_mm: float
    settings: MaskSettings

    def keep(
        self,
        cases: Sequence[TrainingCase],
        examples: Sequence[Example],
        healthy: Sequence[Example],
        slices: EnteringSlices,
        session: Session,
    ) -> NDArray[np.uint8]:
        """Draw the masks that are not there yet.

        Args:
            cases: of the training.
            examples: anomalous slices.
            healthy: slices that a map may be compared with.
            slices: keep all of them.
            session: keeps the masks.

        Returns:
            (n, rows, columns) 0 or 255, on the grid of the slices.
        """
        key = value_hash([_weights_hash(self.tuning), asdict(self.settings),
                          [asdict(example) for example in [*examples, *healthy]]])  # fmt: skip
        shape = (len(examples), *self.frame.plane)
        masks = session.array("rasalore/pseudo_masks", key, shape, "uint8")
        done = session.array("rasalore/pseudo_masks_done", key, (1,), "bool")
        if not done[0]:
            _log.info("drawing %d pseudo masks", len(examples))
            for row, drawn in enumerate(self._draw(slices, examples, healthy)):
                masks[row] = drawn
            for number, rows in rows_by_case(examples).items():
                brain = np.moveaxis(np.asarray(cases[number].case.brain), self.axis, 0)
                for row in rows:
                    inside = brain[examples[row].index]
                    masks[row] = np.where(self._clean(masks[row] > 0, inside), 255, 0)
            if isinstance(masks, np.memmap):
                masks.flush()
            done[0] = True
        return masks

    def _clean(self, drawn: NDArray[np.bool_], brain: NDArray[np.bool_]) -> NDArray[np.bool_]:
        inside = brain if self.settings.inside_brain else None
        return cleaned(drawn, inside, self.settings.smallest)

    def _heights(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """Return (n,) the heights of slices in mm."""
        return np.array([example.index * self.slice_mm for example in examples])

    def _maps(
        self, slices: EnteringSlices, examples: Sequence[Example]
    ) -> tuple[NDArray[np.float32], Tensor]:
        """Return maps and token lengths, (n, rows, columns) in patches."""
        patch = self.tuning.patch_size
        grid = (self.frame.height // patch, self.frame.width // patch)
        maps, lengths = [], []
        with torch.no_grad():
            text = self.tuning.text_features()
            for start in range(0, len(examples), _BATCH):
                answer = self.tuning.ask(slices.tokens(examples[start : start + _BATCH]), text)
                maps.append(self._attention(answer, text).cpu())
                lengths.append(self.tuning.token_lengths(answer).cpu())
        return (
            torch.cat(maps).unflatten(1, grid).numpy(),
            torch.cat(lengths).unflatten(1, grid),
        )

    def _attention(self, answer: Answer, text: Tensor) -> Tensor:
        """Return (n, patches)."""
        match self.settings.attention:
            case "class_token":
                return self.tuning.class_token_attention(answer)
            case "class_difference":
                return self.tuning.class_difference(answer)
            case "evidence":
                return self.tuning.class_evidence(answer, text)

    def _draw(
        self, slices: EnteringSlices, examples: Sequence[Example], healthy: Sequence[Example]
    ) -> Iterator[NDArray[np.bool_]]:
        """Yield what the attention to each slice draws, (rows, columns)."""
        settings, heights = self.settings, self._heights(examples)
        maps, lengths = self._maps(slices, examples)
        if settings.against_healthy:
            usual, _ = self._maps(slices, healthy)
            reach = settings.against_healthy
            maps = UsualMaps(usual, self._heights(healthy), reach).deviations(maps, heights)
        if settings.through_plane:
            numbers = np.array([example.case for example in examples])
            maps = through_plane(maps, numbers, heights, settings.through_plane)
        attention = torch.from_numpy(maps)
        if settings.without_outliers:
            attention = without_outliers(attention, lengths)
        size = max(self.frame.height, self.frame.width)
        for part in attention.split(_BATCH):
            large = attention_maps(part, size, settings.smoothing)
            yield from resized(large, self.frame.plane).numpy() > settings.threshold


def _weights_hash(tuning: PromptTuning) -> str:
    digest = hashlib.sha256()
    for name, tensor in tuning.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
