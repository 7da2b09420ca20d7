from __future__ import annotations

from pathlib import Path

from brainad.training.progress import FIGURE_FILE, ProgressFigure, draw_progress


def test_epochs_that_are_done_again_replace_their_entries(tmp_path: Path) -> None:
    progress = ProgressFigure(tmp_path)
    for epoch in (1, 2, 3):
        progress.add("fit", epoch, {"loss": float(epoch)}, is_last=False)
    ProgressFigure(tmp_path).add("fit", 2, {"loss": 9.0}, is_last=True)
    assert progress.history == {"fit": [{"loss": 1.0}, {"loss": 9.0}]}


def test_the_figure_is_not_drawn_for_every_quick_epoch(tmp_path: Path) -> None:
    progress = ProgressFigure(tmp_path)
    progress.add("fit", 1, {"loss": 1.0}, is_last=True)
    before = (tmp_path / FIGURE_FILE).stat().st_mtime_ns
    progress.add("fit", 2, {"loss": 1.0}, is_last=False)
    assert (tmp_path / FIGURE_FILE).stat().st_mtime_ns == before
    progress.add("fit", 3, {"loss": 1.0}, is_last=True)
    assert (tmp_path / FIGURE_FILE).stat().st_mtime_ns > before


def test_stages_with_different_values_share_a_figure(tmp_path: Path) -> None:
    history = {"one": [{"loss": 1.0}, {"loss": 0.5, "rate": 0.1}], "two": [{"dice": 0.3}]}
    draw_progress(tmp_path / FIGURE_FILE, history)
    assert (tmp_path / FIGURE_FILE).stat().st_size > 5000
