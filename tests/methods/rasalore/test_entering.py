from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from brainad.case import TrainingCase
from brainad.encoders.slicing import SliceFrame
from brainad.encoders.vision_language import load_vision_language
from brainad.methods.rasalore.entering import EnteringSlices
from brainad.methods.rasalore.examples import Example
from brainad.methods.rasalore.prompt_tuning import PromptSettings, PromptTuning
from brainad.methods.rasalore.views import Views
from brainad.training.session import MemorySession

FRAME = SliceFrame.fitting((72, 80, 24), 2, 28, 14)
EXAMPLES = [Example(2, 9, True), Example(0, 3, False), Example(2, 20, False)]


def tuning_of(tmp_path: Path, first_block: int) -> PromptTuning:
    towers = load_vision_language("tiny", tmp_path, torch.device("cpu"))
    return PromptTuning(towers, PromptSettings(depth=4, first_block=first_block))


@pytest.mark.parametrize("first_block", [0, 2])
def test_slices_come_in_the_order_they_are_asked_for(
    tmp_path: Path, cohort: list[TrainingCase], first_block: int
) -> None:
    tuning = tuning_of(tmp_path, first_block)
    slices = EnteringSlices(tuning, FRAME, "T2", MemorySession())
    slices.keep(cohort, EXAMPLES)
    for example in EXAMPLES:
        image = FRAME.cut(cohort[example.case].case.images["T2"], [example.index])
        torch.testing.assert_close(
            slices.tokens([example]), tuning.enter(image), rtol=1e-2, atol=1e-2
        )


def test_frozen_blocks_run_once_per_slice(tmp_path: Path, cohort: list[TrainingCase]) -> None:
    session = MemorySession()
    EnteringSlices(tuning_of(tmp_path, 2), FRAME, "T2", session).keep(cohort, EXAMPLES)
    tuning = tuning_of(tmp_path, 2)
    again = EnteringSlices(tuning, FRAME, "T2", session)
    shapes = []
    enter = tuning.enter

    def watched(images: torch.Tensor) -> torch.Tensor:
        shapes.append(len(images))
        return enter(images)

    tuning.enter = watched  # type: ignore[method-assign]
    again.keep(cohort, EXAMPLES)
    assert shapes == [1, 1]


def test_random_views_need_slices_without_frozen_blocks(
    tmp_path: Path, cohort: list[TrainingCase]
) -> None:
    for first_block, changes in ((0, True), (2, False)):
        slices = EnteringSlices(tuning_of(tmp_path, first_block), FRAME, "T2", MemorySession())
        slices.keep(cohort, EXAMPLES)
        shown = slices.tokens(EXAMPLES[:2], np.random.default_rng(0), Views(smallest=0.2))
        assert torch.allclose(shown, slices.tokens(EXAMPLES[:2])) != changes


def test_frozen_blocks_let_slices_be_mirrored_and_patches_be_hidden(
    tmp_path: Path, cohort: list[TrainingCase]
) -> None:
    tuning = tuning_of(tmp_path, 2)
    slices = EnteringSlices(tuning, FRAME, "T2", MemorySession())
    slices.keep(cohort, EXAMPLES)
    slices.keep(cohort, EXAMPLES, mirrored=True)
    whole, many = slices.tokens(EXAMPLES[:1]), EXAMPLES[:1] * 40
    shown = slices.tokens(many, np.random.default_rng(0), Views(mirrored=True))
    plain = [torch.equal(tokens, whole[0]) for tokens in shown]
    assert 8 < sum(plain) < 32
    image = np.asarray(cohort[EXAMPLES[0].case].case.images["T2"])[::-1]
    other = tuning.enter(FRAME.cut(np.ascontiguousarray(image), [EXAMPLES[0].index]))
    flipped = shown[plain.index(False)]
    assert torch.allclose(flipped, other[0], atol=0.02)
    assert not torch.allclose(flipped, whole[0], atol=0.02)
    half = slices.tokens(many, np.random.default_rng(0), Views(patches=0.5))
    patches = whole.shape[1] - tuning.leading
    assert half.shape[1] == tuning.leading + round(patches / 2)
    assert torch.equal(slices.tokens(many), whole.expand(40, -1, -1))
