from __future__ import annotations

import numpy as np
import pytest

from brainad.methods.codegraph3d.slice_selection import slice_groups


@pytest.mark.parametrize("stride", [1, 2, 7, 14])
def test_counts_that_divide_the_block_follow_the_stride_rule(stride: int) -> None:
    groups = slice_groups(14, 14 // stride, average_neighbours=False)
    expected = range((stride - 1) // 2, 14, stride)
    assert [group.tolist() for group in groups] == [[position] for position in expected]


@pytest.mark.parametrize("count", range(1, 15))
def test_any_count_gives_distinct_slices_spread_over_the_block(count: int) -> None:
    positions = np.concatenate(slice_groups(14, count, average_neighbours=False))
    gaps = np.diff(positions)
    assert len(positions) == count
    assert positions.min() >= 0
    assert positions.max() < 14
    assert gaps.size == 0 or (gaps.min() >= 1 and gaps.max() - gaps.min() <= 1)


@pytest.mark.parametrize("count", [1, 3, 4, 14])
def test_averaged_groups_use_every_slice_once(count: int) -> None:
    groups = slice_groups(14, count, average_neighbours=True)
    assert len(groups) == count
    assert np.concatenate(groups).tolist() == list(range(14))


@pytest.mark.parametrize("count", [0, 15])
def test_impossible_counts_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 14"):
        slice_groups(14, count, average_neighbours=False)
