"""What enters the first prompted block, per slice; frozen parts are computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainad.case import TrainingCase
from brainad.encoders.slicing import SliceFrame
from brainad.files import value_hash
from brainad.method import Session
from brainad.methods.rasalore.examples import Example, rows_by_case
from brainad.methods.rasalore.prompt_tuning import PromptTuning
from brainad.methods.rasalore.views import Views, apply_view, draw_view, hide_patches
from brainad.training.features import keep_features

AS_THEY_ARE = Views()
_FOLDERS = {False: "entering", True: "entering_mirrored"}


class EnteringSlices:
    """Slices as the part of the tower leaves them that nothing learnt precedes.

    With frozen blocks before the first prompt, their tokens are kept on disk; without, the
    slices themselves. `Views` says how either can vary.

    Args:
        tuning: whose frozen part is used.
        frame: how slices are shown to the tower.
        channel: that slices are taken from.
        session: lends disk space.
    """

    def __init__(
        self, tuning: PromptTuning, frame: SliceFrame, channel: str, session: Session
    ) -> None:
        self._tuning = tuning
        self._frame = frame
        self._channel = channel
        self._session = session
        self._rows: dict[bool, dict[Example, NDArray[np.float16]]] = {False: {}, True: {}}

    def keep(
        self, cases: Sequence[TrainingCase], examples: Sequence[Example], *, mirrored: bool = False
    ) -> None:
        """Compute and keep examples; all of a case are named at once, in any order.

        Args:
            cases: of the training.
            examples: slices of them.
            mirrored: keep what they look like with their rows in reverse order, too.
        """
        for number, rows in rows_by_case(examples).items():
            mine = sorted({examples[row] for row in rows}, key=lambda example: example.index)
            kept = self._keep_case(cases[number], [example.index for example in mine], mirrored)
            self._rows[mirrored].update(zip(mine, kept, strict=True))

    def tokens(
        self,
        examples: Sequence[Example],
        rng: np.random.Generator | None = None,
        views: Views = AS_THEY_ARE,
    ) -> Tensor:
        """Return the tokens of examples that were kept.

        Args:
            examples: which, in order.
            rng: for random views; None shows slices as they are.
            views: how slices vary.
        """
        flips = np.zeros(len(examples), dtype=np.bool_)
        if rng is not None and views.mirrored:
            flips = rng.random(len(examples)) < 0.5
        rows = np.stack([self._rows[bool(f)][e] for f, e in zip(flips, examples, strict=True)])
        kept = torch.from_numpy(rows.astype(np.float32))
        if self._tuning.first_block:
            if rng is not None and views.patches < 1:
                kept = hide_patches(kept, self._tuning.leading, views.patches, rng)
            return kept.to(self._tuning.device)
        if rng is not None:
            kept = torch.stack([apply_view(i, draw_view(rng, views.smallest)) for i in kept])
        return self._tuning.enter(kept)

    def _keep_case(
        self, training: TrainingCase, indices: list[int], mirrored: bool
    ) -> NDArray[np.float16]:
        images = self._frame.cut(np.asarray(training.case.images[self._channel]), indices)
        if mirrored:
            images = torch.flip(images, (1,))
        content = hashlib.sha256(images.numpy().tobytes()).hexdigest()

        def compute(rows: Sequence[int]) -> NDArray[np.float32]:
            shown = images[list(rows)]
            if self._tuning.first_block:
                shown = self._tuning.enter(shown).cpu()
            result: NDArray[np.float32] = shown.numpy()
            return result

        return keep_features(
            self._session,
            f"rasalore/{_FOLDERS[mirrored]}/{training.case.case_id}",
            value_hash([self._tuning.towers, self._tuning.first_block, content]),
            (len(indices), *compute([0]).shape[1:]),
            compute,
        )
