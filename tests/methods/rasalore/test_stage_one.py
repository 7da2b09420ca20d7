from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from brainad.case import TrainingCase
from brainad.encoders.slicing import SliceFrame
from brainad.encoders.vision_language import load_vision_language
from brainad.methods.rasalore.entering import EnteringSlices
from brainad.methods.rasalore.examples import find_examples
from brainad.methods.rasalore.prompt_tuning import PromptSettings, PromptTuning
from brainad.methods.rasalore.stage_one import (
    PROMPT_STAGE,
    SPACE_STAGE,
    TuningSettings,
    make_optimiser,
    tune_prompts,
)
from brainad.training.session import MemorySession

FRAME = SliceFrame.fitting((72, 80, 24), 2, 56, 14)
SETTINGS = TuningSettings(
    image_size=56,
    space_epochs=15,
    guidance_epochs=1,
    epochs=3,
    batch=8,
    optimiser="adam",
    visual_rate=0.01,
    text_rate=0.002,
    warm_up=0,
)


def learn(
    tmp_path: Path, cases: list[TrainingCase], settings: TuningSettings, session: MemorySession
) -> PromptTuning:
    towers = load_vision_language("tiny", tmp_path, torch.device("cpu"))
    torch.manual_seed(0)
    tuning = PromptTuning(
        towers, PromptSettings(text_tokens=2, visual_tokens=2, depth=4, first_block=2)
    )
    examples = find_examples(cases, "T2", 2, 100)
    slices = EnteringSlices(tuning, FRAME, "T2", session)
    slices.keep(cases, examples)
    tune_prompts(tuning, slices, examples, settings, 3, session)
    return tuning


def test_slices_are_told_apart(tmp_path: Path, cohort: list[TrainingCase]) -> None:
    session = MemorySession()
    learn(tmp_path, cohort, SETTINGS, session)
    stages = [stage for stage, _, _ in session.reports]
    assert stages == [SPACE_STAGE] * 15 + [PROMPT_STAGE] * 3
    space = [values["loss"] for stage, _, values in session.reports if stage == SPACE_STAGE]
    assert space[-1] < space[0]
    assert session.reports[-1][2]["accuracy"] > 0.9


def test_an_interrupted_stage_ends_like_one_that_was_not(
    tmp_path: Path, cohort: list[TrainingCase]
) -> None:
    whole = learn(tmp_path, cohort, SETTINGS, MemorySession())
    session = MemorySession()
    states: list[dict[str, object]] = []
    save = session.save

    def stop(stage: str, state: dict[str, object]) -> None:
        save(stage, state)
        states.append(state)
        if stage == PROMPT_STAGE and len(states) == 16:
            raise KeyboardInterrupt

    session.save = stop  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path, cohort, SETTINGS, session)
    session.save = save  # type: ignore[method-assign]
    resumed = learn(tmp_path, cohort, SETTINGS, session)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name


def test_a_finished_stage_is_not_run_again(tmp_path: Path, cohort: list[TrainingCase]) -> None:
    session = MemorySession()
    settings = replace(SETTINGS, epochs=1, space_epochs=1)
    learn(tmp_path, cohort, settings, session)
    count = len(session.reports)
    learn(tmp_path, cohort, settings, session)
    assert len(session.reports) == count == 2


def test_groups_get_rates_of_their_own() -> None:
    groups = [[torch.nn.Parameter(torch.zeros(2))], [], [torch.nn.Parameter(torch.zeros(3))]]
    sgd = make_optimiser("sgd", groups, weight_decay=5e-4)
    assert len(sgd.param_groups) == 2
    assert (sgd.param_groups[0]["momentum"], sgd.param_groups[0]["weight_decay"]) == (0.9, 5e-4)
    assert isinstance(make_optimiser("adam", groups, 0.0), torch.optim.Adam)
