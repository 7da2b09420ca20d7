"""Pictures of scans with their anomaly maps, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from brainad.resampling import ras_grid, resample
from brainad.volume import Volume

_DPI = 100
_INK, _PAPER, _TRUTH_COLOUR = "#f2f2f2", "#101014", "#35e0a1"
_COLOURS = "inferno"
# The decision threshold is 0.5. Below 0.4 (two thirds of the threshold in raw evidence) a voxel
# is ordinary and stays transparent; 0.75 is three times the threshold.
_FAINT, _DECISION, _STRONG = 0.4, 0.5, 0.75
_OPACITY = 0.75
_MARGIN_MM = 8.0
# Name of the view, array axis it cuts, and what lies left, right, below and above.
_VIEWS = (("sagittal", 0, "PAIS"), ("coronal", 1, "LRIS"), ("axial", 2, "LRPA"))


@dataclass(frozen=True, eq=False)
class CasePicture:
    """What is drawn of one case; all volumes lie on one grid.

    Args:
        title: text above or beside the case.
        image: scan.
        anomaly_map: 0…1, 0.5 at the threshold.
        lesion: truth mask, if there is one.
    """

    title: str
    image: Volume
    anomaly_map: Volume
    lesion: Volume | None = None


@dataclass(frozen=True, eq=False)
class _Scene:
    """A case in display orientation: axes to the right, to the front, up."""

    image: NDArray[Any]
    anomaly_map: NDArray[Any]
    lesion: NDArray[Any] | None
    spacing_mm: tuple[float, float, float]
    window: tuple[float, float]
    peak: tuple[int, ...]
    box: tuple[slice, ...]

    def cut(self, data: NDArray[Any], axis: int) -> NDArray[Any]:
        """Return the slice through the peak, rows upwards."""
        box = [*self.box]
        box[axis] = slice(self.peak[axis], self.peak[axis] + 1)
        plane: NDArray[Any] = data[tuple(box)].squeeze(axis).T
        return plane

    def aspect(self, axis: int) -> float:
        """Return the height of a voxel in the slice over its width."""
        across, up = (self.spacing_mm[other] for other in range(3) if other != axis)
        return up / across


def overlay_figure(case: CasePicture) -> bytes:
    """Draw three orthogonal slices through the maximum of the map.

    Returns:
        PNG: sagittal, coronal and axial slice, left of the head on the left, with the map over
        the scan, the outline of what reaches the threshold and, if given, of the truth.
    """
    scene = _scene(case)
    figure = _figure(9.6, 3.9)
    for axes, (name, axis, letters) in zip(figure.subplots(1, 3), _VIEWS, strict=True):
        _draw_scan(axes, scene, axis)
        _draw_map(axes, scene, axis)
        _draw_truth(axes, scene, axis)
        _label_sides(axes, letters)
        axes.set_title(name, color=_INK, fontsize=9)
    figure.suptitle(case.title, color=_INK, fontsize=11)
    _add_colourbar(figure)
    return _png(figure)


def cohort_figure(cases: Sequence[CasePicture]) -> bytes:
    """Draw one row per case: scan, scan with map, scan with truth, in the axial slice of the peak.

    Args:
        cases: at least one.

    Returns:
        PNG.
    """
    figure = _figure(6.6, 2.4 * len(cases) + 0.7)
    _, axis, letters = _VIEWS[2]
    grid = figure.subplots(len(cases), 3, squeeze=False)
    for row, case in zip(grid, cases, strict=True):
        scene = _scene(case)
        for axes in row:
            _draw_scan(axes, scene, axis)
            _label_sides(axes, letters)
        _draw_map(row[1], scene, axis)
        _draw_truth(row[2], scene, axis)
        row[0].set_ylabel(case.title, color=_INK, fontsize=9)
    for axes, name in zip(grid[0], ("scan", "anomaly map", "truth"), strict=True):
        axes.set_title(name, color=_INK, fontsize=10)
    _add_colourbar(figure)
    return _png(figure)


def _scene(case: CasePicture) -> _Scene:
    grid = ras_grid(case.image.grid)
    image, anomaly_map = (resample(v, grid).data for v in (case.image, case.anomaly_map))
    lesion = None if case.lesion is None else resample(case.lesion, grid).data
    peak = np.unravel_index(int(np.argmax(anomaly_map)), anomaly_map.shape)
    low, high = np.percentile(image, (1, 99.5))
    return _Scene(
        image,
        anomaly_map,
        lesion,
        grid.spacing_mm,
        (float(low), float(max(high, low + 1e-6))),
        tuple(int(index) for index in peak),
        _box(anomaly_map > 0, grid.spacing_mm),
    )


def _box(brain: NDArray[np.bool_], spacing_mm: Sequence[float]) -> tuple[slice, ...]:
    """Return the bounding box of the brain plus a margin; everything where there is none."""
    if not brain.any():
        return (slice(None),) * 3
    box = []
    for axis, spacing in enumerate(spacing_mm):
        others = tuple(other for other in range(3) if other != axis)
        inside = np.flatnonzero(brain.any(axis=others))
        margin = int(np.ceil(_MARGIN_MM / spacing))
        box.append(slice(max(int(inside[0]) - margin, 0), int(inside[-1]) + margin + 1))
    return tuple(box)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor=_PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_scan(axes: Axes, scene: _Scene, axis: int) -> None:
    low, high = scene.window
    axes.imshow(
        scene.cut(scene.image, axis),
        cmap="gray",
        vmin=low,
        vmax=high,
        origin="lower",
        aspect=scene.aspect(axis),
    )
    axes.set(xticks=[], yticks=[], facecolor=_PAPER)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_map(axes: Axes, scene: _Scene, axis: int) -> None:
    values = scene.cut(scene.anomaly_map, axis)
    opacity = np.clip((values - _FAINT) / (_DECISION - _FAINT), 0, 1) * _OPACITY
    axes.imshow(
        values,
        cmap=_COLOURS,
        vmin=_FAINT,
        vmax=_STRONG,
        alpha=opacity,
        origin="lower",
        aspect=scene.aspect(axis),
        interpolation="nearest",
    )
    _outline(axes, values >= _DECISION, _INK)


def _draw_truth(axes: Axes, scene: _Scene, axis: int) -> None:
    if scene.lesion is not None:
        _outline(axes, scene.cut(scene.lesion, axis), _TRUTH_COLOUR)


def _outline(axes: Axes, mask: NDArray[Any], colour: str) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask.astype(float), levels=[0.5], colors=[colour], linewidths=0.9)


def _label_sides(axes: Axes, letters: str) -> None:
    places = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.02), (0.5, 0.98))
    aligned = (("left", "center"), ("right", "center"), ("center", "bottom"), ("center", "top"))
    for letter, place, (horizontal, vertical) in zip(letters, places, aligned, strict=True):
        text = axes.text(*place, letter, ha=horizontal, va=vertical, transform=axes.transAxes)
        text.set(color=_INK, fontsize=7, path_effects=[withStroke(linewidth=2, foreground=_PAPER)])


def _add_colourbar(figure: Figure) -> None:
    colours = ScalarMappable(Normalize(_FAINT, _STRONG), _COLOURS)
    bar = figure.colorbar(
        colours, ax=figure.axes, orientation="horizontal", shrink=0.35, aspect=40, pad=0.02
    )
    bar.set_ticks([_FAINT, _DECISION, _STRONG], labels=["0.4", "0.5 = threshold", "0.75"])
    bar.ax.tick_params(colors=_INK, labelsize=7, length=2)
    bar.outline.set_visible(False)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without the name of the software the same picture has the same bytes everywhere.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
