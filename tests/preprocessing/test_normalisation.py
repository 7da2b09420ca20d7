from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brainad.errors import DataError
from brainad.preprocessing.normalisation import (
    PERCENTILES,
    NyulReference,
    fit_reference,
    measure_landmarks,
    standardise,
    to_unit_interval,
)

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "codegraph3d" / "preprocess.npz")
IMAGES = GOLDEN["nyul_images"]
BRAINS = GOLDEN["nyul_masks"].astype(bool)


def _reference() -> NyulReference:
    return fit_reference(list(IMAGES), list(BRAINS))


def test_landmarks_agree_with_the_golden_arrays() -> None:
    assert list(PERCENTILES) == GOLDEN["nyul_percentiles"].tolist()
    for image, brain, expected in zip(IMAGES, BRAINS, GOLDEN["nyul_raw_landmarks"], strict=True):
        np.testing.assert_allclose(measure_landmarks(image, brain), expected, rtol=1e-12)
    np.testing.assert_allclose(_reference().landmarks, GOLDEN["nyul_standard"], rtol=1e-12)


@pytest.mark.parametrize("number", range(4))
def test_mapping_agrees_with_the_golden_arrays(number: int) -> None:
    reference = _reference()
    mapped = standardise(IMAGES[number], BRAINS[number], reference)
    unit = to_unit_interval(mapped, BRAINS[number], reference)
    np.testing.assert_allclose(mapped, GOLDEN["nyul_mapped"][number], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(unit, GOLDEN["unit_interval"][number], atol=1e-6)
    assert mapped.dtype == unit.dtype == np.float32


def test_another_scanner_gain_changes_nothing() -> None:
    reference = _reference()
    image, brain = IMAGES[0], BRAINS[0]
    louder = standardise((3.5 * image + 120).astype(np.float32), brain, reference)
    np.testing.assert_allclose(louder, standardise(image, brain, reference), atol=1e-3)


def test_one_image_is_a_reference_for_itself() -> None:
    image, brain = IMAGES[1], BRAINS[1]
    reference = fit_reference([image], [brain])
    landmarks = measure_landmarks(standardise(image, brain, reference), brain)
    np.testing.assert_allclose(landmarks, reference.landmarks, atol=1e-3)
    assert reference.landmarks[0] == 0
    assert reference.landmarks[-1] == 100


def test_equal_landmarks_keep_the_order_of_intensities() -> None:
    values = np.repeat([0.0, 1.0, 5.0], [600, 300, 100]).astype(np.float32).reshape(10, 10, 10)
    brain = np.ones(values.shape, dtype=bool)
    mapped = standardise(values, brain, _reference())
    low, middle, high = (float(mapped[values == value][0]) for value in (0, 1, 5))
    assert np.isfinite(mapped).all()
    assert low < middle < high


def test_the_hash_follows_the_landmarks() -> None:
    reference = _reference()
    other = NyulReference((*reference.landmarks[:-1], 101.0))
    assert reference.hash == NyulReference(reference.landmarks).hash
    assert reference.hash != other.hash
    assert len(reference.hash) == 64


@pytest.mark.parametrize(
    "landmarks", [(0.0, 1.0), tuple(range(10, -1, -1)), (5.0,) * 11, (float("nan"),) * 11]
)
def test_impossible_references_are_refused(landmarks: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="do not decrease"):
        NyulReference(landmarks)


@pytest.mark.parametrize("value", [7.0, float("nan")])
def test_an_image_without_contrast_is_a_data_error(value: float) -> None:
    image = np.full((4, 4, 4), value, dtype=np.float32)
    with pytest.raises(DataError, match="no contrast"):
        standardise(image, np.ones(image.shape, dtype=bool), _reference())


def test_an_empty_brain_is_a_data_error() -> None:
    with pytest.raises(DataError, match="empty"):
        measure_landmarks(IMAGES[0], np.zeros_like(BRAINS[0]))


def test_a_reference_needs_an_image() -> None:
    with pytest.raises(ValueError, match="at least one"):
        fit_reference([], [])
