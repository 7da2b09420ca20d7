from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brainad.case import TrainingCase
from brainad.errors import UsageError
from brainad.methods.rasalore.examples import (
    Example,
    brain_slices,
    find_examples,
    grey_slices,
    rows_by_case,
    spread_examples,
)


def test_labelled_slices_of_cases_with_the_channel_are_found(cohort: list[TrainingCase]) -> None:
    examples = find_examples(cohort, "T2", 2, 100)
    assert [e.case for e in examples] == [0] * 23 + [1] * 23 + [2] * 23
    assert [e.index for e in examples[:23]] == list(range(1, 24))
    assert [e.index for e in examples if e.anomalous][:8] == list(range(8, 16))


def test_slices_with_little_brain_are_passed_over(cohort: list[TrainingCase]) -> None:
    case = cohort[0].case
    image = case.images["T2"].copy()
    image[:, :, 4] = 0.03
    image[40:, :, 5] = 0
    dark = replace(case, images={"T2": image})
    assert 4 not in brain_slices(dark, "T2", 2, 0)
    assert {5} == set(range(24)) - {4} - set(brain_slices(dark, "T2", 2, 2500).tolist())


def test_a_slice_keeps_its_grey_levels(cohort: list[TrainingCase]) -> None:
    slices = grey_slices(cohort[0].case, "T2", 2)
    assert slices.shape == (24, 72, 80)
    assert slices[10].max() == int(0.95 * 255)
    assert slices[3].max() < 200
    assert grey_slices(cohort[0].case, "T2", 0).shape == (72, 80, 24)


def test_each_case_gives_the_same_number_of_examples() -> None:
    examples = [Example(case, index, True) for case in range(4) for index in range(9)]
    chosen = spread_examples(examples, 14)
    assert [sum(e.case == case for e in chosen) for case in range(4)] == [3, 3, 3, 3]
    assert spread_examples(examples, 3) != spread_examples(examples[9:], 3)
    assert len(spread_examples(examples, 3)) == 3
    assert spread_examples(examples, 100) == examples
    assert spread_examples([], 5) == []


def test_what_is_chosen_of_a_case_does_not_depend_on_the_others() -> None:
    mine = [Example(0, index, True) for index in range(9)]
    few = [Example(1, index, True) for index in range(2)]
    many = [Example(1, index, True) for index in range(30)]
    with_few, with_many = (spread_examples([*mine, *others], 8) for others in (few, many))
    assert with_few[:4] == with_many[:4]
    assert {e.case for e in with_few[:4]} == {0}


def test_examples_are_grouped_by_case() -> None:
    examples = [Example(2, 0, True), Example(0, 1, True), Example(2, 3, False)]
    assert rows_by_case(examples) == {2: [0, 2], 0: [1]}


def test_missing_labels_are_explained(cohort: list[TrainingCase]) -> None:
    unlabelled = [replace(case, usable=np.zeros(24, dtype=bool)) for case in cohort]
    with pytest.raises(UsageError, match="no slice of channel T2 has a label") as caught:
        find_examples(unlabelled, "T2", 2, 100)
    assert "slices.csv" in caught.value.fix
    with pytest.raises(UsageError, match="no slice"):
        find_examples([], "T2", 2, 100)
    with pytest.raises(UsageError, match="no slice"):
        find_examples([replace(case, target=None) for case in cohort], "T2", 2, 100)


@pytest.mark.parametrize(("label", "word"), [(True, "anomalous"), (False, "normal")])
def test_one_class_is_not_enough(cohort: list[TrainingCase], label: bool, word: str) -> None:
    single = [replace(case, target=np.full(24, label)) for case in cohort]
    with pytest.raises(UsageError, match=f"all 69 labelled slices are {word}"):
        find_examples(single, "T2", 2, 100)
