from __future__ import annotations

from collections import Counter

import numpy as np

from brainad.methods.anyad.subsets import all_subsets, draw_subset, nearest_subset, subset_name

FOUR = ("T1", "T1CE", "T2", "FLAIR")


def test_all_non_empty_subsets_are_there_once() -> None:
    subsets = all_subsets(FOUR)
    assert len(subsets) == len(set(subsets)) == 15
    assert subsets[0] == ("T1",)
    assert subsets[-1] == FOUR
    assert len(all_subsets(FOUR[:3])) == 7
    assert len({subset_name(subset) for subset in subsets}) == 15


def test_every_subset_is_drawn_equally_often(rng: np.random.Generator) -> None:
    drawn = Counter(draw_subset(FOUR[:3], rng) for _ in range(7000))
    assert set(drawn) == set(all_subsets(FOUR[:3]))
    assert all(900 < count < 1100 for count in drawn.values())


def test_the_nearest_trained_set_answers_for_one_that_never_occurred() -> None:
    known = (("T1",), ("T2",), ("T1", "T2"), ("FLAIR",))
    assert nearest_subset(("T1", "T2"), known) == ("T1", "T2")
    assert nearest_subset(("T1", "T2", "FLAIR"), known) == ("T1", "T2")
    assert nearest_subset(("FLAIR", "T1CE"), known) == ("FLAIR",)
