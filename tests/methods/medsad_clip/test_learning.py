"""Rows of training features; that learning works and continues is tested in test_method.py."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from brainad.methods.medsad_clip.learning import TrainingRows

_VERSIONS = 2
_SLICES = (2, 0, 3)


@pytest.fixture
def rows() -> TrainingRows:
    """Make the rows of three cases, of which the second has none; row n holds the number n."""
    ends = np.cumsum([0, *_SLICES]) * _VERSIONS
    numbers = [np.arange(first, end) for first, end in itertools.pairwise(ends)]
    features = [np.broadcast_to(n[:, None, None, None], (len(n), 1, 5, 4)) for n in numbers]
    masks = [np.broadcast_to((n % 2 == 0)[:, None, None], (len(n), 6, 8)) for n in numbers]
    return TrainingRows(
        features=[each.astype(np.float16) for each in features],
        masks=masks,
        abnormal=np.arange(sum(_SLICES)) % 2 == 0,
        labelled=np.ones(sum(_SLICES), dtype=bool),
        views=_VERSIONS,
        grid=(2, 2),
    )


@pytest.mark.parametrize("numbers", [[0], [3, 4], [9, 0, 5, 5, 4], list(range(10))])
def test_rows_are_counted_over_all_cases(rows: TrainingRows, numbers: list[int]) -> None:
    features, masks = rows.take(np.array(numbers))
    assert features.shape == (len(numbers), 1, 5, 4)
    assert features.dtype == np.float32
    assert features[:, 0, 0, 0].tolist() == numbers
    assert masks.shape == (len(numbers), 6, 8)
    assert masks[:, 0, 0].tolist() == [number % 2 == 0 for number in numbers]


def test_rows_beyond_the_last_are_an_error(rows: TrainingRows) -> None:
    with pytest.raises(IndexError):
        rows.take(np.array([10]))
