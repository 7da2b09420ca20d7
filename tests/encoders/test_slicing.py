from __future__ import annotations

import numpy as np
import pytest
import torch

from brainad.encoders.slicing import SliceFrame, filled_slices, resized


@pytest.mark.parametrize(("axis", "size"), [(0, (56, 42)), (1, (56, 42)), (2, (56, 56))])
def test_images_keep_the_shape_of_the_slice(axis: int, size: tuple[int, int]) -> None:
    frame = SliceFrame.fitting((40, 40, 28), axis, longest=56, patch=14)
    assert (frame.height, frame.width) == size
    with pytest.raises(ValueError, match="not a multiple of the patch"):
        SliceFrame.fitting((40, 40, 28), axis, longest=50, patch=14)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_go_back_to_where_they_were_cut(axis: int, rng: np.random.Generator) -> None:
    shape = (14, 28, 42)
    volume = rng.random(shape).astype(np.float32)
    rows, columns = (n for number, n in enumerate(shape) if number != axis)
    frame = SliceFrame(shape, axis, rows, columns)
    indices = range(shape[axis])
    slices = frame.cut(volume, indices)
    assert slices.shape == (shape[axis], rows, columns)
    assert np.array_equal(frame.put_back(slices, indices), volume)


def test_a_smooth_volume_survives_another_size() -> None:
    x, y, z = np.meshgrid(*(np.linspace(0, 1, n) for n in (28, 42, 20)), indexing="ij")
    volume = (x * (1 - y) + z).astype(np.float32)
    frame = SliceFrame.fitting(volume.shape, 2, longest=84, patch=14)
    chosen = list(range(0, 20, 3))
    back = frame.put_back(frame.cut(volume, chosen), chosen)
    assert np.abs(back - volume)[2:-2, 2:-2, : chosen[-1]].max() < 0.02
    # Beyond the last slice there is nothing to interpolate with.
    assert np.array_equal(back[:, :, chosen[-1]], back[:, :, -1])


def test_one_slice_fills_the_volume() -> None:
    frame = SliceFrame((4, 6, 5), 2, 14, 14)
    back = frame.put_back(torch.full((1, 2, 2), 3.0), [2])
    assert back.shape == (4, 6, 5)
    assert (back == 3).all()


def test_shrinking_averages() -> None:
    board = (torch.arange(16)[:, None] + torch.arange(16)) % 2
    shrunk = resized(board[None].float(), (4, 4))
    assert (shrunk - 0.5).abs().max() < 0.05


def test_slices_with_little_brain_are_left_out() -> None:
    brain = np.zeros((10, 10, 6), dtype=bool)
    brain[:, :, 2] = True
    brain[:5, :, 3] = True
    brain[:1, :2, 4] = True
    assert filled_slices(brain, 2, 0.0).tolist() == [2, 3, 4]
    assert filled_slices(brain, 2, 0.05).tolist() == [2, 3]
    assert filled_slices(np.zeros((2, 2, 2), dtype=bool), 2, 0.0).tolist() == []
