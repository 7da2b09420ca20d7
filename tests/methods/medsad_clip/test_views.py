from __future__ import annotations

import numpy as np
import pytest

from brainad.methods.medsad_clip.views import Views


@pytest.fixture
def slice_and_mask(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    image = np.zeros((28, 42), dtype=np.float32)
    image[4:24, 6:36] = rng.random((20, 30), dtype=np.float32)
    mask = np.zeros((28, 42), dtype=bool)
    mask[8:14, 10:18] = True
    image[mask] = 0.95
    return image, mask


def test_the_first_view_is_the_slice_and_the_second_its_mirror_image(
    slice_and_mask: tuple[np.ndarray, np.ndarray],
) -> None:
    image, mask = slice_and_mask
    views = Views(augmented=1, mirrored=True, seed=1)
    assert len(views) == 4
    same, same_mask = views.make(image, mask, "a", 0)
    assert np.array_equal(same, image)
    assert np.array_equal(same_mask, mask)
    mirrored, mirrored_mask = views.make(image, mask, "a", 1)
    assert np.array_equal(mirrored, image[::-1])
    assert np.array_equal(mirrored_mask, mask[::-1])


def test_changed_views_differ_between_slices_but_not_between_calls(
    slice_and_mask: tuple[np.ndarray, np.ndarray],
) -> None:
    image, mask = slice_and_mask
    views = Views(augmented=2, mirrored=False, seed=1)
    one, _ = views.make(image, mask, "a", 1)
    np.random.seed(7)
    again, _ = views.make(image, mask, "a", 1)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, image)
    others = [views.make(image, mask, name, view)[0] for name, view in (("b", 1), ("a", 2))]
    assert not any(np.array_equal(one, other) for other in others)


def test_lesion_and_background_stay_what_they_are(
    slice_and_mask: tuple[np.ndarray, np.ndarray],
) -> None:
    image, mask = slice_and_mask
    for view in range(1, 6):
        changed, moved = Views(5, False, 3).make(image, mask, "a", view)
        assert changed.shape == image.shape
        assert changed.dtype == np.float32
        assert changed[0, 0] == 0
        assert 0 <= changed.min() <= changed.max() <= 1
        assert 0.7 * mask.sum() < moved.sum() < 1.35 * mask.sum()
        assert changed[moved].mean() > changed[(changed > 0) & ~moved].mean() + 0.2
