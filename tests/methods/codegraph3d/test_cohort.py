from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from brainad.methods.codegraph3d.cohort import split_cohort, stack_cases
from brainad.methods.codegraph3d.tokens import CaseTokens

Golden = Callable[[str], dict[str, NDArray[Any]]]


def case_with(cells: list[int], value: float) -> CaseTokens:
    grid = np.zeros(8, dtype=bool)
    grid[cells] = True
    tokens = value + torch.arange(len(cells)).float()[:, None]
    return CaseTokens((tokens, -tokens), grid.reshape(2, 2, 2))


def test_cases_are_stacked_in_order() -> None:
    cohort = stack_cases([case_with([1, 4], 10), case_with([], 0), case_with([7], 20)], layer=1)
    assert cohort.tokens[:, 0].tolist() == [-10, -11, -20]
    assert cohort.offsets.tolist() == [0, 2, 2, 3]
    assert cohort.cell_index.tolist() == [1, 4, 7]
    assert cohort.own.tolist() == [0, 0, 2]
    assert cohort.grid == (2, 2, 2)


def test_selecting_tokens_keeps_every_volume() -> None:
    cohort = stack_cases([case_with([1, 4], 10), case_with([0, 7], 20)], layer=0)
    kept = cohort.select(np.array([False, False, True, True]))
    assert kept.offsets.tolist() == [0, 0, 2]
    assert kept.cell_index.tolist() == [0, 7]
    assert kept.tokens[:, 0].tolist() == [20, 21]


def test_one_volume_is_taken_alone() -> None:
    cohort = stack_cases([case_with([1, 4], 10), case_with([0], 20)], layer=0)
    alone = cohort.volume(1)
    assert alone.volumes == 1
    assert alone.tokens[:, 0].tolist() == [20]
    assert alone.cell_index.tolist() == [0]


def test_different_grids_are_refused() -> None:
    other = CaseTokens((torch.zeros(1, 1),), np.ones((1, 1, 1), dtype=bool))
    with pytest.raises(ValueError, match="share one grid"):
        stack_cases([case_with([0], 0), other], layer=0)


def test_chunks_match_the_golden_file(golden: Golden) -> None:
    known = golden("chunks")
    chunks = split_cohort(int(known["B"]), int(known["n_chunks"]), int(known["seed"]))
    assert [len(chunk) for chunk in chunks] == known["sizes"].tolist()
    assert np.array_equal(np.concatenate(chunks), known["order"])


def test_uneven_chunks_put_the_larger_first() -> None:
    assert [len(chunk) for chunk in split_cohort(11, 3, seed=1)] == [4, 4, 3]
