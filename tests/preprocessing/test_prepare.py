from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brainad.errors import DataError, UsageError
from brainad.plan import PreprocessingPlan
from brainad.preprocessing import prepare
from brainad.preprocessing.prepare import Preparation, prepare_case
from brainad.volume import Volume, centred_grid

# Standard intensities of 11 landmarks.
LANDMARKS = tuple(np.linspace(0.0, 100.0, 11))
PLAN = PreprocessingPlan(
    channels=("T2", "FLAIR"),
    brain_mask="nonzero",
    bias_field=False,
    coregister=False,
    registration="none",
    template="mni152",
    working_shape=(28, 28, 28),
    spacing_mm=6.0,
    landmarks={"T2": LANDMARKS, "FLAIR": LANDMARKS},
    slice_axis=2,
)


def ball(rng: np.random.Generator, centre_mm: tuple[float, float, float] = (0, -18, 8)) -> Volume:
    """Make a stripped head: a ball of noise of 50 mm radius in a field of 160 mm."""
    shape = (32, 32, 32)
    x, y, z = np.meshgrid(*[np.arange(32) - 15.5] * 3, indexing="ij")
    inside = x**2 + y**2 + z**2 < 10**2
    data = np.where(inside, rng.uniform(50, 150, shape), 0).astype(np.float32)
    return Volume(data, centred_grid(shape, 5.0, np.array(centre_mm, dtype=np.float64)))


def prepared(plan: PreprocessingPlan, **volumes: Volume) -> Preparation:
    return prepare_case("a", volumes, "T2", plan, "nonzero", "cpu")


def test_every_channel_lies_on_the_working_grid(rng: np.random.Generator) -> None:
    found = prepared(PLAN, T2=ball(rng), FLAIR=ball(rng))
    brain = found.case.brain
    assert brain.shape == PLAN.working_shape
    assert brain.any()
    for channel in ("T2", "FLAIR"):
        image = found.case.images[channel]
        assert (image.min(), image.max() <= 1) == (0, True)
        assert not image[~brain].any()
        assert image[brain].std() > 0.05
    assert np.array_equal(found.case.placement.working_from_native, np.eye(4))
    assert {"brain_mask_s", "resampling_s", "normalisation_s", "brain_ml"} <= set(found.measures)


@pytest.mark.parametrize("length", [2, 10, 12])
def test_landmarks_of_another_length_are_named(rng: np.random.Generator, length: int) -> None:
    wrong = tuple(float(value) for value in range(length))
    plan = replace(PLAN, landmarks={"T2": LANDMARKS, "FLAIR": wrong})
    with pytest.raises(UsageError, match="channel FLAIR is not valid") as caught:
        prepared(plan, T2=ball(rng), FLAIR=ball(rng))
    assert caught.value.where == "plan, preprocessing.landmarks"


def test_a_channel_without_landmarks_concerns_its_case_only(rng: np.random.Generator) -> None:
    plan = replace(PLAN, landmarks={"T2": LANDMARKS})
    with pytest.raises(DataError, match="no intensity standard for channel FLAIR, only for T2"):
        prepared(plan, T2=ball(rng), FLAIR=ball(rng))


def test_a_brain_beside_the_grid_is_an_error_and_a_cut_one_a_warning(
    rng: np.random.Generator,
) -> None:
    with pytest.raises(DataError, match="outside the working grid"):
        prepared(PLAN, T2=ball(rng, (400, 0, 0)))
    cut = prepared(PLAN, T2=ball(rng, (70, -18, 8)))
    assert any("lies outside the working grid" in warning for warning in cut.warnings)


def test_mps_strips_skulls_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    seen = []

    def strip(volume: Volume, device: str) -> Volume:
        seen.append(device)
        return Volume(volume.data > 0, volume.grid)

    monkeypatch.setattr(prepare, "hd_bet_brain", strip)
    for device in ("mps", "cuda:0"):
        prepare_case("a", {"T2": ball(rng)}, "T2", PLAN, "hd-bet", device)
    assert seen == ["cpu", "cuda:0"]
