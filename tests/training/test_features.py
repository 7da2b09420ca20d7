from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.training.features import keep_features, kept_size_gb
from brainad.training.session import FolderSession

SHAPE = (5, 2, 3)


class _Encoder:
    """Gives every row its number and counts how often it is asked."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.asked: list[int] = []
        self._fails_at = fails_at

    def __call__(self, rows: Sequence[int]) -> NDArray[Any]:
        if self._fails_at in rows:
            raise InterruptedError
        self.asked += rows
        return np.broadcast_to(np.array(rows)[:, None, None], (len(rows), *SHAPE[1:]))


def keep(folder: Path, encoder: _Encoder, key: str = "k") -> NDArray[np.float16]:
    session = FolderSession(folder, "training", folder)
    return keep_features(session, "case", key, SHAPE, encoder, batch=2)


def test_features_are_computed_once(tmp_path: Path) -> None:
    encoder = _Encoder()
    first = keep(tmp_path, encoder)
    assert first.dtype == np.float16
    assert first[:, 1, 2].tolist() == [0, 1, 2, 3, 4]
    again = keep(tmp_path, encoder)
    assert np.array_equal(first, again)
    assert encoder.asked == [0, 1, 2, 3, 4]
    keep(tmp_path, encoder, key="other images")
    assert len(encoder.asked) == 10


def test_what_an_interruption_left_is_kept(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError):
        keep(tmp_path, _Encoder(fails_at=3))
    encoder = _Encoder()
    assert keep(tmp_path, encoder)[:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert encoder.asked == [2, 3, 4]


def test_the_size_is_known_beforehand() -> None:
    assert kept_size_gb(1000, (256, 384)) == pytest.approx(0.196608)
