"""Pseudo masks of all anomalous training slices, kept where a person can look at them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
from brainad.methods.rasalore.examples import Example
from brainad.methods.rasalore.prompt_tuning import PromptTuning
from brainad.methods.rasalore.pseudo_masks import (
    UsualMaps,
    attention_maps,
    cleaned,
    without_outliers,
)

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
        without_outliers: leave out patches in which a transformer without registers parks
            global information.
        smoothing: standard deviation in patches.
        threshold: share of the largest value of a map.
        inside_brain: keep only what lies in the brain.
        smallest: pixels of a component that is kept; 0 keeps all.
    """

    attention: Literal["class_token", "class_difference", "evidence"] = "class_token"
    against_healthy: float = 0.0
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
        done = session.array("rasalore/pseudo_masks_done", key, (len(examples),), "bool")
        todo = np.flatnonzero(~np.asarray(done))
        usual = self._usual(slices, healthy) if todo.size else None
        for start in range(0, todo.size, _BATCH):
            rows = todo[start : start + _BATCH]
            shown = [examples[row] for row in rows]
            for row, example, drawn in zip(
                rows, shown, self._draw(slices, shown, usual), strict=True
            ):
                brain = np.take(cases[example.case].case.brain, example.index, self.axis)
                masks[row] = np.where(self._clean(drawn, brain), 255, 0)
            done[rows] = True
        return masks

    def _clean(self, drawn: NDArray[np.bool_], brain: NDArray[np.bool_]) -> NDArray[np.bool_]:
        inside = brain if self.settings.inside_brain else None
        return cleaned(drawn, inside, self.settings.smallest)

    def _usual(self, slices: EnteringSlices, healthy: Sequence[Example]) -> UsualMaps | None:
        """Look at healthy slices, if maps are compared with them."""
        if not self.settings.against_healthy:
            return None
        batches = [healthy[start : start + _BATCH] for start in range(0, len(healthy), _BATCH)]
        maps = np.concatenate([self._maps(slices, batch)[0].numpy() for batch in batches])
        return UsualMaps(maps, self._heights(healthy), self.settings.against_healthy)

    def _heights(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """Return (n,) the heights of slices in mm."""
        return np.array([example.index * self.slice_mm for example in examples])

    def _maps(self, slices: EnteringSlices, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
        """Return maps and token lengths, (n, rows, columns) in patches."""
        patch = self.tuning.patch_size
        grid = (self.frame.height // patch, self.frame.width // patch)
        with torch.no_grad():
            text = self.tuning.text_features()
            answer = self.tuning.ask(slices.tokens(examples), text)
            match self.settings.attention:
                case "class_token":
                    attention = self.tuning.class_token_attention(answer)
                case "class_difference":
                    attention = self.tuning.class_difference(answer)
                case "evidence":
                    attention = self.tuning.class_evidence(answer, text)
            lengths = self.tuning.token_lengths(answer)
        return attention.cpu().unflatten(1, grid), lengths.cpu().unflatten(1, grid)

    def _draw(
        self, slices: EnteringSlices, examples: Sequence[Example], usual: UsualMaps | None
    ) -> NDArray[np.bool_]:
        """Return (n, rows, columns) bool."""
        maps, lengths = self._maps(slices, examples)
        if usual is not None:
            maps = torch.from_numpy(usual.deviations(maps.numpy(), self._heights(examples)))
        if self.settings.without_outliers:
            maps = without_outliers(maps, lengths)
        large = attention_maps(maps, max(self.frame.height, self.frame.width),
                               self.settings.smoothing)  # fmt: skip
        drawn: NDArray[np.bool_] = (
            resized(large, self.frame.plane).numpy() > self.settings.threshold
        )
        return drawn


def _weights_hash(tuning: PromptTuning) -> str:
    digest = hashlib.sha256()
    for name, tensor in tuning.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
