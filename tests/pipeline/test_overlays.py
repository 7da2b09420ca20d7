from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from brainad.method import Overlay
from brainad.methods.codegraph3d.method import CoDeGraph3D
from brainad.pipeline.overlays import FOLDER, PAGE, write_overlays


class Drawing(CoDeGraph3D):
    """A method that drew 23 masks."""

    def __init__(self) -> None:
        """Load nothing."""

    def overlays(self) -> list[Overlay]:
        image, mask = np.zeros((8, 8), dtype=np.uint8), np.eye(8, dtype=bool)
        return [Overlay(f"case_slice_{i:03d}", image, mask) for i in range(23)]


def test_all_are_written_and_the_first_are_shown(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "of_an_earlier_training.png").touch()
    page = write_overlays(Drawing(), "drawing", tmp_path)
    assert page == tmp_path / PAGE
    assert len(list((tmp_path / FOLDER).glob("*.png"))) == 23
    assert page.read_text().count("<img") == 20


def test_a_method_that_draws_nothing_leaves_no_page(tmp_path: Path) -> None:
    silent: Any = object()
    assert write_overlays(silent, "silent", tmp_path) is None
    assert not list(tmp_path.iterdir())
