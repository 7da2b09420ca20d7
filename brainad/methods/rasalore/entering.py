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
from brainad.methods.rasalore.views import apply_view, draw_view
from brainad.training.features import keep_features


class EnteringSlices:
    """Slices as the part of the tower leaves them that nothing learnt precedes.

    With frozen blocks before the first prompt, their tokens are kept on disk and slices are
    shown as they are; without, the slices themselves are kept and can be shown in random views.

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
        self._rows: dict[Example, NDArray[np.float16]] = {}

    def keep(self, cases: Sequence[TrainingCase], examples: Sequence[Example]) -> None:
        """Compute and keep examples; all of a case are named at once, in any order."""
        for number, rows in rows_by_case(examples).items():
            mine = sorted({examples[row] for row in rows}, key=lambda example: example.index)
            kept = self._keep_case(cases[number], [example.index for example in mine])
            self._rows.update(zip(mine, kept, strict=True))

    def tokens(
        self,
        examples: Sequence[Example],
        rng: np.random.Generator | None = None,
        smallest: float = 1.0,
    ) -> Tensor:
        """Return the tokens of examples that were kept.

        Args:
            examples: which, in order.
            rng: for random views, where slices are kept; None shows them as they are.
            smallest: share of the area that a random view shows at least.
        """
        rows = np.stack([self._rows[example] for example in examples])
        kept = torch.from_numpy(rows.astype(np.float32))
        if self._tuning.first_block:
            return kept.to(self._tuning.device)
        if rng is not None:
            kept = torch.stack([apply_view(image, draw_view(rng, smallest)) for image in kept])
        return self._tuning.enter(kept)

    def _keep_case(self, training: TrainingCase, indices: list[int]) -> NDArray[np.float16]:
        images = self._frame.cut(np.asarray(training.case.images[self._channel]), indices)
        content = hashlib.sha256(images.numpy().tobytes()).hexdigest()

        def compute(rows: Sequence[int]) -> NDArray[np.float32]:
            shown = images[list(rows)]
            if self._tuning.first_block:
                shown = self._tuning.enter(shown).cpu()
            result: NDArray[np.float32] = shown.numpy()
            return result

        return keep_features(
            self._session,
            f"rasalore/entering/{training.case.case_id}",
            value_hash([self._tuning.towers, self._tuning.first_block, content]),
            (len(indices), *compute([0]).shape[1:]),
            compute,
        )
