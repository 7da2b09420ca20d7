from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from brainad.case import Placement, PreparedCase, TrainingCase
from brainad.encoders.slicing import SliceFrame
from brainad.errors import UsageError
from brainad.methods.medsad_clip.training_slices import SliceReader, SliceRules, choose_slices
from brainad.methods.medsad_clip.views import Views
from brainad.volume import centred_grid

_SHAPE = (14, 16, 20)
RULES = SliceRules("T2", 1, 0.5, 1.0, 5, 30.0)


def training_case(
    name: str, lesion: tuple[slice, slice, slice] | None, usable: Sequence[int] = range(20)
) -> TrainingCase:
    brain = np.zeros(_SHAPE, dtype=bool)
    brain[1:-1, 1:-1, 2:-2] = True
    image = np.where(brain, 0.5, 0).astype(np.float32)
    target = np.zeros(_SHAPE, dtype=bool)
    if lesion:
        target[lesion] = True
    image[target] = 0.9
    grid = centred_grid(_SHAPE, 2.0, np.zeros(3))
    prepared = PreparedCase(name, {"T2": image}, brain, Placement(grid, grid, np.eye(4)))
    known = np.isin(np.arange(20), list(usable))
    return TrainingCase(prepared, known, target)


@pytest.fixture
def cases() -> list[TrainingCase]:
    """Make a case with a lesion in slices 5 to 8 (tiny in the last), and a healthy one."""
    ill = training_case("ill", (slice(3, 7), slice(4, 9), slice(5, 8)))
    assert ill.target is not None
    ill.target[4, 5, 8] = True
    return [ill, training_case("well", None)]


def test_all_slices_with_a_lesion_and_some_without_are_chosen(
    cases: list[TrainingCase],
) -> None:
    chosen = choose_slices(cases, 2, RULES)
    assert chosen.index[chosen.abnormal].tolist() == [5, 6, 7, 8]
    # As many without in the same case, and five of the healthy one.
    assert chosen.case[~chosen.abnormal].tolist() == [0] * 4 + [1] * 5
    assert (np.diff(chosen.case) >= 0).all()
    assert chosen.abnormal_share == 4 / 32
    # 20 pixels of 2 x 2 mm, and one.
    assert chosen.area_mm2[chosen.abnormal].tolist() == [80.0, 80.0, 80.0, 4.0]
    assert chosen.labelled[chosen.abnormal].tolist() == [True, True, True, False]
    assert chosen.labelled[~chosen.abnormal].all()


def test_what_is_chosen_of_a_case_does_not_depend_on_the_others(
    cases: list[TrainingCase],
) -> None:
    more = [*cases, training_case("other", (slice(2, 9), slice(2, 9), slice(3, 15)))]
    few, many = choose_slices(cases, 2, RULES), choose_slices(more, 2, RULES)
    for number in (0, 1):
        for name in ("index", "checksum"):
            one, other = getattr(few, name), getattr(many, name)
            assert np.array_equal(one[few.case == number], other[many.case == number])


def test_steps_and_unusable_slices_are_respected(cases: list[TrainingCase]) -> None:
    ill = training_case("ill", (slice(3, 7), slice(4, 9), slice(5, 9)), usable=range(7))
    every_second = SliceRules("T2", 2, 0.5, 9.0, 5, 30.0)
    chosen = choose_slices([ill, cases[1]], 2, every_second)
    assert chosen.index[chosen.case == 0].tolist() == [2, 4, 6]
    assert chosen.abnormal.sum() == 1
    assert set(chosen.index % 2) == {0}


def test_what_does_not_fit_on_the_disk_is_thinned_out(cases: list[TrainingCase]) -> None:
    chosen = choose_slices(cases, 2, SliceRules("T2", 1, 0.5, 5.0, 5, 30.0))
    thinned = chosen.at_most(8)
    assert len(thinned) <= 8
    assert 0 < thinned.abnormal.sum() < 4
    assert chosen.at_most(1000) is chosen


@pytest.mark.parametrize("which", [[], [0], [1]])
def test_lesions_and_healthy_slices_are_both_needed(
    cases: list[TrainingCase], which: list[int]
) -> None:
    everywhere = training_case("full", (slice(0, 14), slice(0, 16), slice(0, 20)))
    several = [everywhere, cases[1]]
    with pytest.raises(UsageError, match="with a lesion and"):
        choose_slices([several[number] for number in which], 2, RULES)


def test_a_row_is_one_version_of_one_slice(cases: list[TrainingCase]) -> None:
    chosen = choose_slices(cases, 2, RULES)
    frame = SliceFrame.fitting(_SHAPE, 2, 28, 14)
    views = Views(augmented=0, mirrored=True, seed=0)
    reader = SliceReader(cases, chosen, frame, views, "T2")
    row = int(np.flatnonzero(chosen.abnormal)[0]) * 2
    images, masks = reader.read([row, row + 1])
    assert images.shape == masks.shape == (2, frame.height, frame.width)
    assert np.array_equal(images[1], images[0][::-1])
    assert np.array_equal(masks[1], masks[0][::-1])
    assert images[0][masks[0]].min() > 0.6
    expected = 20 * frame.height * frame.width / (14 * 16)
    assert masks[0].sum() == pytest.approx(expected, rel=0.15)


def test_another_image_has_another_checksum(cases: list[TrainingCase]) -> None:
    before = choose_slices(cases, 2, RULES)
    cases[0].case.images["T2"][4, 5, 6] += 0.01
    after = choose_slices(cases, 2, RULES)
    changed = before.checksum != after.checksum
    assert after.index[changed].tolist() == [6]
