from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.case import TrainingCase
from brainad.encoders.sam import Box
from brainad.errors import DataError, UsageError
from brainad.method import Scope
from brainad.methods.rasalore import method as method_module
from brainad.methods.rasalore.losses import LossSettings
from brainad.methods.rasalore.mask_making import MaskSettings
from brainad.methods.rasalore.method import RASALoRE
from brainad.methods.rasalore.network import NetworkSize
from brainad.methods.rasalore.plan import RasalorePlan
from brainad.methods.rasalore.prompt_tuning import PromptSettings
from brainad.methods.rasalore.stage_one import TuningSettings
from brainad.methods.rasalore.stage_two import TrainingSettings
from brainad.plan import Resources
from brainad.training.session import MemorySession

PLAN = RasalorePlan(
    seed=1,
    reasons=(),
    channels=("T2", "FLAIR"),
    slice_axis=2,
    least_pixels=100,
    least_mask=20,
    encoder="tiny",
    prompts=PromptSettings(text_tokens=2, visual_tokens=2, depth=4, first_block=2),
    tuning=TuningSettings(
        image_size=56, space_epochs=10, guidance_epochs=1, epochs=2, batch=8, optimiser="adam",
        visual_rate=0.01, text_rate=0.002, warm_up=0,
    ),
    masks=MaskSettings(attention="evidence"),
    medsam="off",
    network=NetworkSize(
        image=16, points=4, channels=(2, 3, 4, 8), refiner=(3, 4), activation=(6, 4),
        upsampling=(5, 4),
    ),
    integer_frequencies=False,
    losses=LossSettings(),
    training=TrainingSettings(
        epochs=2, channel_epochs=1, batch=4, optimiser="adam", rate=1e-3, clip=5.0,
        healthy_share=0.25,
    ),
    through_plane=0.0,
    batch_size=8,
)  # fmt: skip


@pytest.fixture
def resources(tmp_path: Path) -> Resources:
    return Resources("cpu", 4.0, 1, tmp_path, (), 60.0)


def learn(
    cases: list[TrainingCase], resources: Resources, session: MemorySession, **settings: Any
) -> RASALoRE:
    method = RASALoRE(replace(PLAN, **settings), resources)
    method.fit(cases, session)
    return method


def test_every_stage_runs_once_and_a_second_fit_repeats_nothing(
    cohort: list[TrainingCase], resources: Resources
) -> None:
    session = MemorySession()
    first = learn(cohort, resources, session)
    stages = [stage for stage, _, _ in session.reports]
    assert stages == (
        ["rasalore_space"] * 10
        + ["rasalore_prompts"] * 2
        + ["rasalore_bridge"] * 2
        + ["rasalore_channels"]
    )
    again = learn(cohort, resources, session)
    assert len(session.reports) == len(stages)
    one, other = first.state_dict(), again.state_dict()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_an_interrupted_fit_ends_like_one_that_was_not(
    cohort: list[TrainingCase], resources: Resources
) -> None:
    whole = learn(cohort, resources, MemorySession())
    session = MemorySession()
    save = session.save
    counts: Iterator[int] = iter(range(100))

    def stop(stage: str, state: dict[str, Any]) -> None:
        save(stage, state)
        if stage == "rasalore_bridge" and next(counts) == 0:
            raise KeyboardInterrupt

    session.save = stop  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        learn(cohort, resources, session)
    resumed = learn(cohort, resources, session)
    one, other = whole.state_dict(), resumed.state_dict()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_pseudo_masks_can_be_looked_at(cohort: list[TrainingCase], resources: Resources) -> None:
    session = MemorySession()
    with pytest.raises(UsageError, match="none of 24 pseudo masks has 100000 pixels"):
        learn(cohort, resources, session, least_mask=100_000)
    overlays = session.shown["pseudo_masks"]
    assert len(overlays) == 24
    assert overlays[0].name == "case_0_slice_008"
    assert overlays[0].image.shape == overlays[0].mask.shape == (72, 80)
    assert any(overlay.mask.any() for overlay in overlays)


def test_the_segmenter_is_asked_once_about_each_mask(
    cohort: list[TrainingCase], resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Drawer:
        def segment(self, image: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
            asked.append(len(asked))
            if len(asked) == 3:
                raise KeyboardInterrupt
            logits = np.full(image.shape, -5, dtype=np.float32)
            logits[box[1], box[0]] = 5
            return logits

    monkeypatch.setattr(method_module, "load_segmenter", lambda *_: Drawer())
    session = MemorySession()
    with pytest.raises(KeyboardInterrupt):
        learn(cohort, resources, session, medsam="lite")
    learn(cohort, resources, session, medsam="lite")
    weak, drawn = session.shown["pseudo_masks"], session.shown["segmenter_masks"]
    assert len(asked) == len(drawn) + 1, "nothing but the one that was interrupted is repeated"
    assert {each.mask.sum() for each in drawn} == {1}
    masks = {each.name: each.mask for each in weak}
    assert all(masks[each.name].any() for each in drawn)


def test_a_case_is_judged_by_the_channels_it_has(
    cohort: list[TrainingCase], resources: Resources
) -> None:
    method = learn(cohort, resources, MemorySession())
    assert method.scope is Scope.CASE
    cases = [training.case for training in cohort]
    predictions = list(method.predict(cases))
    assert [p.case_id for p in predictions] == [c.case_id for c in cases]
    for prediction, case in zip(predictions, cases, strict=True):
        data = prediction.anomaly_map.data
        assert (data[~case.brain] == 0).all()
        assert (data[case.brain] > 0).any()
        assert prediction.slice_scores is not None
        assert prediction.score == prediction.slice_scores.max()
    alone = replace(cases[0], images={"T2": cases[0].images["T2"]})
    (single,) = method.predict([alone])
    assert not np.array_equal(single.anomaly_map.data, predictions[0].anomaly_map.data)
    strange = replace(cases[0], images={"T1": cases[0].images["T2"]})
    with pytest.raises(DataError, match="none of the channels T2, FLAIR") as caught:
        list(method.predict([strange]))
    assert caught.value.where == "case_0"


def test_the_state_holds_all_that_a_prediction_needs(
    cohort: list[TrainingCase], resources: Resources
) -> None:
    method = learn(cohort, resources, MemorySession(), channels=("T2",))
    state = method.state_dict()
    other = RASALoRE(replace(PLAN, channels=("T2",), seed=9), resources)
    other.load_state_dict(state)
    case = cohort[0].case
    (one,), (two,) = method.predict([case]), other.predict([case])
    assert np.array_equal(one.anomaly_map.data, two.anomaly_map.data)
    assert np.array_equal(other.state_dict()["network.points"], state["network.points"])
    averaging = RASALoRE(replace(PLAN, channels=("T2",), through_plane=3.0), resources)
    averaging.load_state_dict(state)
    (averaged,) = averaging.predict([case])
    steps, before = (np.abs(np.diff(p.anomaly_map.data)).sum() for p in (averaged, one))
    assert steps < before
    assert averaged.slice_scores is not None and averaged.score == averaged.slice_scores.max()


def test_prediction_needs_training(resources: Resources, cohort: list[TrainingCase]) -> None:
    with pytest.raises(UsageError, match="not been trained") as caught:
        next(RASALoRE(PLAN, resources).predict([cohort[0].case]))
    assert "brainad_train" in caught.value.fix


def test_a_plan_that_does_not_fit_is_refused(
    resources: Resources, cohort: list[TrainingCase]
) -> None:
    deep = PromptSettings(depth=12)
    with pytest.raises(UsageError, match="tiny, which has 4 blocks"):
        learn(cohort, resources, MemorySession(), prompts=deep)
    with pytest.raises(UsageError, match="no weights found for encoder someone/medsam"):
        learn(cohort, resources, MemorySession(), medsam="someone/medsam")
    with pytest.raises(UsageError, match="none of 24 pseudo masks has 90000 pixels"):
        learn(cohort, resources, MemorySession(), least_mask=90_000)
    with pytest.raises(UsageError, match="no slice of channel T2"):
        learn([], resources, MemorySession())
