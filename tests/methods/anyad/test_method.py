from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainad.case import PreparedCase, TrainingCase
from brainad.errors import DataError, UsageError
from brainad.methods.anyad.method import AnyAD
from brainad.methods.anyad.subsets import all_subsets
from brainad.plan import Resources
from brainad.training.session import MemorySession
from tests.methods.anyad.conftest import SHAPE, make_case, make_plan, with_spot

RESOURCES = Resources("cpu", 4.0, 1, Path(), (), 60.0)
CHANNELS = ("FLAIR", "T1", "T2")
SPOT = (slice(8, 15), slice(12, 19), slice(4, 8))


def train(cases: list[PreparedCase], **changes: Any) -> AnyAD:
    method = AnyAD(make_plan(**changes), RESOURCES)
    usable = np.ones(SHAPE[2], dtype=bool)
    method.fit([TrainingCase(case, usable, None) for case in cases], MemorySession())
    return method


@pytest.fixture(scope="module", params=[0, 10])
def method(request: pytest.FixtureRequest, healthy: list[PreparedCase]) -> AnyAD:
    rates = {"learning_rate": 3e-3, "final_rate": 3e-4}
    return train(healthy, epochs=30, tokens_per_slice=request.param, alignment="adapter", **rates)


def only(case: PreparedCase, *channels: str) -> PreparedCase:
    return replace(case, images={name: case.images[name] for name in channels})


def test_a_spot_stands_out_where_it_is_shown_and_nowhere_else(method: AnyAD) -> None:
    """A lesion that FLAIR alone shows: the score may rise only while FLAIR is there."""
    normal = make_case("new", 77)
    ill = with_spot(normal, "FLAIR")
    for subset in all_subsets(CHANNELS):
        before, after = method.predict([only(normal, *subset), only(ill, *subset)])
        if "FLAIR" in subset:
            assert after.score > 1.02 * before.score
            # Beside channels that look normal, the random test encoder blurs where the spot is.
            gain = after.anomaly_map.data - before.anomaly_map.data
            if subset == ("FLAIR",):
                assert gain[SPOT].mean() > 2 * np.abs(gain[normal.brain]).mean()
        else:
            assert after.score == before.score
            assert np.array_equal(after.anomaly_map.data, before.anomaly_map.data)


def test_kept_features_of_any_set_give_the_prediction_of_that_set(method: AnyAD) -> None:
    case = make_case("new", 77)
    features = method.keep(case, MemorySession())
    for subset in (("T1",), ("FLAIR", "T2"), CHANNELS):
        kept = method.judge(case, features, subset)
        (fresh,) = method.predict([only(case, *subset)])
        assert kept.score == pytest.approx(fresh.score, rel=1e-3)


def test_slices_between_the_raster_are_interpolated(method: AnyAD) -> None:
    case = with_spot(make_case("new", 77), "FLAIR")
    (prediction,) = method.predict([case])
    assert prediction.slice_scores is not None
    assert prediction.slice_scores.shape == (SHAPE[2],)
    filled = case.brain.any(axis=(0, 1))
    assert (prediction.slice_scores[filled] > 0).all()
    assert (prediction.slice_scores[~filled] == 0).all()


def test_an_untrained_channel_is_told(method: AnyAD) -> None:
    case = replace(make_case("new", 77), images={"T1CE": make_case("x", 1).images["T1"]})
    with pytest.raises(DataError, match="no trained channel is there; found T1CE") as caught:
        list(method.predict([case]))
    assert "FLAIR, T1, T2" in caught.value.fix


def test_only_channels_that_were_trained_count(healthy: list[PreparedCase]) -> None:
    method = train([only(case, "T1", "T2") for case in healthy])
    assert method.channels == ("T1", "T2")
    restored = AnyAD(make_plan(), RESOURCES)
    restored.load_state_dict(method.state_dict())
    assert restored.channels == ("T1", "T2")
    with pytest.raises(DataError, match="trained are T1, T2"):
        list(restored.predict([only(healthy[0], "FLAIR")]))


def test_too_few_slices_are_refused_before_anything_is_encoded(
    healthy: list[PreparedCase],
) -> None:
    method = AnyAD(make_plan(minimum_slices=1000), RESOURCES)
    session = MemorySession()
    usable = np.ones(SHAPE[2], dtype=bool)
    with pytest.raises(UsageError, match="30 normal slices of 6 cases, at least 1000 are needed"):
        method.fit([TrainingCase(case, usable, None) for case in healthy], session)
    assert session.states == {}
    nothing = np.zeros(SHAPE[2], dtype=bool)
    with pytest.raises(UsageError, match="0 normal slices of 1 cases"):
        method.fit([TrainingCase(healthy[0], nothing, None)], session)


def test_slices_that_are_not_normal_are_never_seen(healthy: list[PreparedCase]) -> None:
    usable = np.ones(SHAPE[2], dtype=bool)
    usable[4:8] = False
    ill = [with_spot(case, "FLAIR") for case in healthy]
    states = []
    for cases in (healthy, ill):
        method = AnyAD(make_plan(), RESOURCES)
        method.fit([TrainingCase(case, usable, None) for case in cases], MemorySession())
        states.append(method.state_dict())
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])


def test_the_size_of_the_features_is_bounded(
    healthy: list[PreparedCase], caplog: pytest.LogCaptureFixture
) -> None:
    size = 30 * 3 * 2 * 16 * 32 * 2 / 1e9
    with caplog.at_level("INFO", "brainad"):
        train(healthy, feature_gb=size / 2, epochs=1)
    assert "are used" in caplog.text
    assert "30 normal slices of 6 cases" in caplog.text


def test_layers_that_do_not_exist_are_told() -> None:
    with pytest.raises(UsageError, match="which has 4"):
        AnyAD(make_plan(layers=(3, 9)), RESOURCES)


@pytest.mark.parametrize("expected_by", ["nothing", "height", "place"])
def test_ways_to_read_a_distance(healthy: list[PreparedCase], expected_by: Any) -> None:
    place = expected_by != "height"
    method = train(healthy, expected_by=expected_by, layout="rgb_slots", place_distance=place)
    normal, ill = method.predict([healthy[0], with_spot(healthy[0], "T2")])
    assert ill.anomaly_map.data[SPOT].mean() > normal.anomaly_map.data[SPOT].mean()
