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
from brainad.methods.rasalore.examples import Example
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
        key: identifies the backbone and the number of frozen blocks.
    """

    def __init__(
        self, tuning: PromptTuning, frame: SliceFrame, channel: str, session: Session, key: str
    ) -> None:
        self._tuning = tuning
        self._frame = frame
        self._channel = channel
        self._session = session
        self._key = key
        self._kept: list[NDArray[np.float16]] = []
        self._places: list[tuple[int, int]] = []

    def keep(self, cases: Sequence[TrainingCase], examples: Sequence[Example]) -> None:
        """Compute and keep all examples, in their order."""
        places: dict[Example, tuple[int, int]] = {}
        for number in sorted({example.case for example in examples}):
            mine = [example for example in examples if example.case == number]
            places |= {example: (len(self._kept), row) for row, example in enumerate(mine)}
            self._kept.append(self._keep_case(cases[number], [e.index for e in mine]))
        self._places = [places[example] for example in examples]

    def tokens(
        self,
        numbers: Sequence[int],
        rng: np.random.Generator | None = None,
        smallest: float = 1.0,
    ) -> Tensor:
        """Return the tokens of examples.

        Args:
            numbers: of examples, in the order they were kept in.
            rng: for random views, where slices are kept; None shows them as they are.
            smallest: share of the area that a random view shows at least.
        """
        rows = [self._kept[case][row] for case, row in (self._places[n] for n in numbers)]
        kept = torch.from_numpy(np.stack(rows).astype(np.float32))
        if self._tuning.first_block:
            return kept.to(self._tuning.device)
        if rng is not None:
            kept = torch.stack([apply_view(image, draw_view(rng, smallest)) for image in kept])
        return self._tuning.enter(kept)

    def _keep_case(self, training: TrainingCase, indices: list[int]) -> NDArray[np.float16]:
        images = self._frame.cut(np.asarray(training.case.images[self._channel]), indices)
        content = hashlib.sha256(images.numpy().tobytes()).hexdigest()
        if not self._tuning.first_block:
            compute = images.__getitem__
            shape = tuple(images.shape[1:])
        else:
            compute = lambda rows: self._tuning.enter(images[rows]).cpu()  # noqa: E731
            shape = tuple(self._tuning.enter(images[:1]).shape[1:])
        return keep_features(
            self._session,
            f"rasalore/entering/{training.case.case_id}",
            value_hash([self._key, content]),
            (len(indices), *shape),
            lambda rows: compute(list(rows)).numpy(),
        )
