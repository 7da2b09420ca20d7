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
from brainad.methods.rasalore.mask_making import MaskMaker, MaskSettings
from brainad.methods.rasalore.prompt_tuning import PromptSettings, PromptTuning
from brainad.training.session import MemorySession

FRAME = SliceFrame.fitting((72, 80, 24), 2, 56, 14)
EXAMPLES = [Example(0, 9, True), Example(2, 10, True)]
HEALTHY = [Example(0, 14, False), Example(2, 15, False), Example(2, 16, False)]


def maker_of(tmp_path: Path, settings: MaskSettings) -> MaskMaker:
    torch.manual_seed(0)
    towers = load_vision_language("tiny", tmp_path, torch.device("cpu"))
    return MaskMaker(
        PromptTuning(towers, PromptSettings(depth=4, first_block=2)), FRAME, 2, 5.0, settings
    )


@pytest.mark.parametrize("reach", [0.0, 5.0])
@pytest.mark.parametrize("attention", ["class_token", "class_difference", "evidence"])
def test_masks_are_kept_and_stay_in_the_brain(
    tmp_path: Path, cohort: list[TrainingCase], attention: str, reach: float
) -> None:
    settings = MaskSettings(
        attention=attention,  # type: ignore[arg-type]
        against_healthy=reach,
        through_plane=reach,
        without_outliers=True,
        smoothing=0.5,
        inside_brain=True,
    )
    maker, session = maker_of(tmp_path, settings), MemorySession()
    slices = EnteringSlices(maker.tuning, FRAME, "T2", session)
    slices.keep(cohort, [*EXAMPLES, *HEALTHY])
    masks = maker.keep(cohort, EXAMPLES, HEALTHY, slices, session)
    assert masks.shape == (2, 72, 80)
    assert set(np.unique(masks)) <= {0, 255}
    assert masks.any()
    brain = cohort[0].case.brain[:, :, 9]
    assert not masks[0][~brain].any()
    masks[0, 0, 0] = 7
    assert maker.keep(cohort, EXAMPLES, HEALTHY, slices, session)[0, 0, 0] == 7


def test_other_prompts_draw_anew(tmp_path: Path, cohort: list[TrainingCase]) -> None:
    maker, session = maker_of(tmp_path, MaskSettings()), MemorySession()
    slices = EnteringSlices(maker.tuning, FRAME, "T2", session)
    slices.keep(cohort, [*EXAMPLES, *HEALTHY])
    maker.keep(cohort, EXAMPLES, HEALTHY, slices, session)[:] = 7
    with torch.no_grad():
        maker.tuning.text_prompts.context.add_(0.5)
    assert not (maker.keep(cohort, EXAMPLES, HEALTHY, slices, session) == 7).any()


def test_other_healthy_slices_draw_anew(tmp_path: Path, cohort: list[TrainingCase]) -> None:
    maker, session = maker_of(tmp_path, MaskSettings(against_healthy=5.0)), MemorySession()
    slices = EnteringSlices(maker.tuning, FRAME, "T2", session)
    slices.keep(cohort, [*EXAMPLES, *HEALTHY])
    maker.keep(cohort, EXAMPLES, HEALTHY, slices, session)[:] = 7
    assert not (maker.keep(cohort, EXAMPLES, HEALTHY[:2], slices, session) == 7).any()
