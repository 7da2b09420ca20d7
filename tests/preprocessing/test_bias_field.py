from __future__ import annotations

import numpy as np
import pytest

from brainad.errors import DataError
from brainad.preprocessing.bias_field import correct_bias_field
from brainad.volume import Grid, Volume, centred_grid


def _ball() -> tuple[Volume, Volume]:
    """Build two tissues in a ball, seen through a drifting coil; 6 mm voxels."""
    grid = centred_grid((24, 24, 24), 6.0, np.zeros(3))
    axis = np.linspace(-1, 1, 24)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    brain = x**2 + y**2 + z**2 < 0.8
    tissue = np.where((x**2 + y**2 + z**2 < 0.3), 140.0, 90.0)
    noise = np.random.default_rng(0).normal(0, 2, tissue.shape)
    image = np.where(brain, (tissue + noise) * np.exp(0.3 * x + 0.2 * z), 0)
    return Volume(image.astype(np.float32), grid), Volume(brain, grid)


def test_the_drift_is_evened_out() -> None:
    image, brain = _ball()
    corrected = correct_bias_field(image, brain)
    right, left = brain.data.copy(), brain.data.copy()
    right[:12], left[12:] = False, False
    before = image.data[right].mean() / image.data[left].mean()
    after = corrected.data[right].mean() / corrected.data[left].mean()
    assert before > 1.2
    assert abs(after - 1) < 0.03
    assert corrected.grid is image.grid
    assert corrected.data.dtype == np.float32


def test_the_mean_of_the_brain_is_kept_and_the_input_untouched() -> None:
    image, brain = _ball()
    image.data.flags.writeable = False
    corrected = correct_bias_field(image, brain)
    expected = image.data[brain.data].mean()
    assert corrected.data[brain.data].mean() == pytest.approx(expected, rel=1e-5)
    assert not corrected.data[image.data == 0].any()


def test_two_runs_give_the_same_bytes() -> None:
    image, brain = _ball()
    first, second = (correct_bias_field(image, brain).data.tobytes() for _ in range(2))
    assert first == second


def test_a_brain_without_positive_intensity_is_a_data_error() -> None:
    grid = Grid((4, 4, 4), np.eye(4))
    dark = Volume(np.full((4, 4, 4), -1, dtype=np.float32), grid)
    with pytest.raises(DataError, match="no positive intensity"):
        correct_bias_field(dark, Volume(np.ones((4, 4, 4), dtype=bool), grid))
