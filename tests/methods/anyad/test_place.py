from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brainad.methods.anyad.features import CaseFeatures
from brainad.methods.anyad.layout import PerChannel, RgbSlots
from brainad.methods.anyad.place import PlaceDistances

POSITIONS = np.array([5, 10])
CHANNELS = ("FLAIR", "T2")
TOKENS, WIDTH = 12, 16
# Half of the normal tokens lie above the usual distance, by 0.8 deviations on average, and two
# deviations are evidence 1.
NEUTRAL = 0.2


def make_cases(rng: np.random.Generator, count: int = 12) -> list[CaseFeatures]:
    """Every place has a token of its own, the same in all cases but for noise."""
    usual = rng.standard_normal((2, 2, 2, TOKENS, WIDTH))
    inside = np.ones((2, TOKENS), dtype=bool)
    inside[:, -2:] = False
    return [
        CaseFeatures(
            POSITIONS,
            CHANNELS,
            tuple((channel,) for channel in CHANNELS),
            (usual + 0.2 * rng.standard_normal(usual.shape)).astype(np.float16),
            inside,
        )
        for _ in range(count)
    ]


def measured(cases: list[CaseFeatures]) -> PlaceDistances:
    place = PlaceDistances.measure(cases, PerChannel(), 20, "place")
    assert place is not None
    return place


def with_swap(case: CaseFeatures, channel: int) -> CaseFeatures:
    """Show at place 3 what belongs to place 4, in one channel."""
    groups = case.groups.copy()
    groups[0, channel, 0, 3] = case.groups[0, channel, 0, 4]
    return replace(case, groups=groups)


def test_what_belongs_elsewhere_stands_out(rng: np.random.Generator) -> None:
    *cases, new = make_cases(rng)
    place = measured(cases)
    normal = place.evidence(new, CHANNELS)
    assert normal.shape == (2, TOKENS)
    assert normal[new.inside].mean() < 0.5
    ill = with_swap(new, channel=0)
    assert place.evidence(ill, ("FLAIR",))[0, 3] > 3 * normal[0, 3]
    assert place.evidence(ill, CHANNELS)[0, 3] > 1.5 * normal[0, 3]
    hidden = place.evidence(ill, ("T2",))
    assert np.array_equal(hidden, place.evidence(new, ("T2",)))


def test_a_case_is_as_usual_as_one_that_was_not_seen(rng: np.random.Generator) -> None:
    """Otherwise few cases would make everything new look unusual."""
    *cases, new = make_cases(rng, count=5)
    evidence = measured(cases).evidence(new, CHANNELS)
    assert evidence[new.inside].mean() == pytest.approx(NEUTRAL, abs=0.12)


def test_where_nothing_is_known_nothing_is_said(rng: np.random.Generator) -> None:
    *cases, new = make_cases(rng)
    evidence = measured(cases).evidence(new, CHANNELS)
    assert evidence[~new.inside] == pytest.approx(NEUTRAL, abs=0.01)
    assert PlaceDistances.measure(cases[:1], PerChannel(), 20, "place") is None


def test_channels_that_no_case_showed_together_say_nothing(rng: np.random.Generator) -> None:
    """One image per set of channels: what was never encoded has no usual tokens."""
    *cases, new = make_cases(rng)
    alone = [
        replace(case, channels=(name,), sources=((name,),), groups=case.groups[:, :1])
        for case, name in zip(cases, 6 * CHANNELS, strict=False)
    ]
    layout = RgbSlots(CHANNELS)
    place = PlaceDistances.measure(alone, layout, 20, "place")
    assert place is not None
    together = replace(new, sources=(CHANNELS,), groups=new.groups[:, :1])
    assert place.evidence(together, CHANNELS) == pytest.approx(NEUTRAL, abs=0.01)


def test_an_unseen_slice_takes_the_nearest(rng: np.random.Generator) -> None:
    *cases, new = make_cases(rng)
    place = measured(cases)
    ill = replace(with_swap(new, channel=0), positions=np.array([4, 12]))
    evidence = place.evidence(ill, ("FLAIR",))
    assert evidence.argmax() == 3


def test_the_state_keeps_everything(rng: np.random.Generator) -> None:
    *cases, new = make_cases(rng)
    place = measured(cases)
    again = PlaceDistances.from_state(place.state_dict(), PerChannel())
    for subset in (("T2",), CHANNELS):
        assert np.array_equal(again.evidence(new, subset), place.evidence(new, subset))
