from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainad.methods.rasalore.embeddings import draw_frequencies, location_embeddings
from brainad.methods.rasalore.points import point_grid

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_embeddings_are_the_golden_ones(golden: Load) -> None:
    case = golden("lore")
    side, rows = int(case["grid_size"]), case["rows"]
    offset = torch.from_numpy(case["corner0"])
    none = torch.zeros_like(offset)
    assert np.array_equal(point_grid(side, int(case["image_size"])), case["points"])
    released, real = (torch.from_numpy(case[name]) for name in ("P", "P_real"))
    for expected, frequencies, shift in (
        ("lore_rows", released, offset),
        ("sincos_rows", released, none),
        ("sincos_rows_real", real, none),
    ):
        found = location_embeddings(side, frequencies, shift)[rows]
        np.testing.assert_allclose(found, case[expected], atol=2e-3)


def test_integer_frequencies_leave_a_quarter_of_the_embeddings(golden: Load) -> None:
    case = golden("lore")
    side = int(case["grid_size"])
    offset = torch.from_numpy(case["corner0"])
    embeddings = location_embeddings(side, torch.from_numpy(case["P"]), offset)
    assert len(np.unique(embeddings.numpy().round(2), axis=0)) == case["n_unique_rows"]


def test_drawn_frequencies_alias_only_when_they_are_integers() -> None:
    integer, real = (draw_frequencies(64, 3, integer=flag) for flag in (True, False))
    assert torch.equal(integer[0], real[0].floor())
    assert torch.equal(integer[1], real[1])
    for (frequencies, offset), repeats in ((integer, True), (real, False)):
        grid = location_embeddings(16, frequencies, offset).reshape(16, 16, -1)
        assert torch.allclose(grid[:8], grid[8:], atol=1e-3) == repeats
    again = draw_frequencies(64, 3, integer=False)
    assert torch.equal(again[0], real[0])
