"""progress.png: what was measured in every epoch so far."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from brainad.files import read_json, replacing, write_json

HISTORY_FILE = "training_history.json"
FIGURE_FILE = "progress.png"
# Drawing takes longer than a small epoch.
_SECONDS_BETWEEN_FIGURES = 20.0

History = dict[str, list[dict[str, float]]]


class ProgressFigure:
    """Keeps the history of a training and draws it.

    Args:
        folder: where the history and the figure are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._drawn = 0.0

    @property
    def history(self) -> History:
        """Return per stage what was measured, one entry per epoch."""
        path = self._folder / HISTORY_FILE
        stages: History = read_json(path)["stages"] if path.is_file() else {}
        return stages

    def add(self, stage: str, epoch: int, values: Mapping[str, float], is_last: bool) -> None:
        """Add a finished epoch; epochs that are done again after a stop replace their entries.

        Args:
            stage: name of the stage.
            epoch: finished epochs, from 1.
            values: what was measured.
            is_last: draw in any case.
        """
        history = self.history
        history[stage] = [*history.get(stage, [])[: epoch - 1], dict(values)]
        write_json(self._folder / HISTORY_FILE, {"format_version": 1, "stages": history})
        if is_last or time.monotonic() - self._drawn > _SECONDS_BETWEEN_FIGURES:
            draw_progress(self._folder / FIGURE_FILE, history)
            self._drawn = time.monotonic()


def draw_progress(path: Path, history: History) -> None:
    """Draw one panel per stage, one line per measured value."""
    figure = Figure(figsize=(7, 3 * len(history)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(history), 1, squeeze=False)[:, 0]
    for panel, (stage, epochs) in zip(panels, history.items(), strict=True):
        names = dict.fromkeys(name for values in epochs for name in values)
        for name in names:
            points = [(n, v[name]) for n, v in enumerate(epochs, start=1) if name in v]
            panel.plot(*zip(*points, strict=True), label=name)
        panel.set(title=stage, xlabel="epoch")
        panel.legend(fontsize="small")
        panel.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
