from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from brainad.encoders.positions import resample_positions
from brainad.encoders.tiny import tiny_encoder

GOLDEN = Path(__file__).parents[1] / "golden" / "anyad" / "pos_embed_interp.npz"


def test_tables_agree_with_the_published_encoder() -> None:
    with np.load(GOLDEN, allow_pickle=False) as arrays:
        table = torch.from_numpy(arrays["pos_embed"])
        patch = int(arrays["patch_size"])
        for number, size in enumerate(arrays["sizes"].tolist()):
            found = resample_positions(table, size // patch, size // patch)
            expected = torch.from_numpy(arrays[f"out_{number}"])
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("rows", "columns"), [(3, 5), (8, 2), (4, 4)])
def test_grids_need_not_be_square(rows: int, columns: int) -> None:
    table = torch.randn(1, 17, 6, generator=torch.Generator().manual_seed(0))
    fitted = resample_positions(table, rows, columns)
    assert fitted.shape == (1, 1 + rows * columns, 6)
    assert torch.equal(fitted[:, 0], table[:, 0])
    if rows == columns == 4:
        assert fitted is table


def test_an_encoder_can_be_asked_for_them() -> None:
    cpu = torch.device("cpu")
    exact, published = tiny_encoder(0, cpu), tiny_encoder(0, cpu)
    published.use_published_positions()
    same, other = torch.rand(2, 1, 56, 56), torch.rand(1, 42, 70)
    for slices in same:
        (one,), (two,) = (each.encode(slices, [2], False) for each in (exact, published))
        assert torch.equal(one, two)
    (one,), (two,) = (each.encode(other, [2], False) for each in (exact, published))
    difference = float((one - two).norm() / one.norm())
    assert 0 < difference < 0.05
