from __future__ import annotations

import numpy as np
import pytest

from brainad.preprocessing.quality import brain_ml, list_flaws
from brainad.preprocessing.registration import Registration
from brainad.volume import Grid, Volume


def _cube(edge_mm: float) -> Volume:
    """Build a solid cube of 10 x 10 x 10 voxels."""
    affine = np.diag([edge_mm / 10, edge_mm / 10, edge_mm / 10, 1.0])
    return Volume(np.ones((10, 10, 10), dtype=bool), Grid((10, 10, 10), affine))


def _registration(similarity: float = 1.0, overlap: float | None = 0.95) -> Registration:
    return Registration(np.eye(4), similarity, overlap, restarted=False)


def test_brain_ml() -> None:
    assert brain_ml(_cube(100.0)) == pytest.approx(1000.0)


@pytest.mark.parametrize("registration", [None, _registration(), _registration(overlap=None)])
def test_a_good_case_has_no_flaws(registration: Registration | None) -> None:
    assert list_flaws(_cube(110.0), registration) == ()


@pytest.mark.parametrize(("edge_mm", "found"), [(80.0, "512 ml"), (140.0, "2744 ml")])
def test_an_unlikely_brain_volume_is_named(edge_mm: float, found: str) -> None:
    (flaw,) = list_flaws(_cube(edge_mm), _registration())
    assert found in flaw


def test_every_flaw_is_listed_with_its_value() -> None:
    flaws = list_flaws(_cube(80.0), _registration(similarity=0.1, overlap=0.6))
    assert len(flaws) == 3
    assert "0.60" in flaws[1]
    assert "0.10" in flaws[2]
