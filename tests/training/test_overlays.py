from __future__ import annotations

from pathlib import Path

import numpy as np

from brainad.method import Overlay
from brainad.training.overlays import write_overlays


def drawn(count: int) -> list[Overlay]:
    image, mask = np.zeros((8, 8), dtype=np.uint8), np.eye(8, dtype=bool)
    return [Overlay(f"case_slice_{i:03d}", image, mask) for i in range(count)]


def test_all_are_written_and_the_first_are_shown(tmp_path: Path) -> None:
    write_overlays("pseudo_masks", iter(drawn(23)), tmp_path)
    assert len(list((tmp_path / "pseudo_masks").glob("*.png"))) == 23
    page = (tmp_path / "pseudo_masks.html").read_text()
    assert page.count("<img") == 20
    assert "pseudo masks, 20 of 23" in page


def test_nothing_is_left_of_an_earlier_training(tmp_path: Path) -> None:
    write_overlays("pseudo_masks", drawn(3), tmp_path)
    write_overlays("pseudo_masks", drawn(1), tmp_path)
    assert len(list((tmp_path / "pseudo_masks").glob("*.png"))) == 1
