from __future__ import annotations

import numpy as np
import pytest

from brainad.training.sampling import shuffled_batches, spread_over


def test_batches_are_whole_and_shuffled(rng: np.random.Generator) -> None:
    batches = shuffled_batches(11, 4, rng)
    assert [batch.size for batch in batches] == [4, 4]
    seen = np.concatenate(batches)
    assert len(set(seen.tolist())) == 8
    assert seen.tolist() != sorted(seen.tolist())


def test_the_only_batch_may_be_incomplete(rng: np.random.Generator) -> None:
    (batch,) = shuffled_batches(3, 8, rng)
    assert sorted(batch.tolist()) == [0, 1, 2]


@pytest.mark.parametrize(("count", "wanted"), [(10, 4), (10, 10), (3, 8), (0, 4)])
def test_choices_are_spread_evenly(count: int, wanted: int) -> None:
    chosen = spread_over(count, wanted)
    assert chosen.size == min(count, wanted)
    if chosen.size > 1:
        gaps = np.diff(chosen)
        assert gaps.min() >= 1
        assert np.ptp(gaps) <= 1
        assert abs(chosen[0] - (count - 1 - chosen[-1])) <= 1
