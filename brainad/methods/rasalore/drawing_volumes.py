"""From slices to a volume (specification 10.1, 10.3, 10.4) and to scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from brainad.case import PreparedCase
from brainad.encoders.slicing import highest_values, pixel_mm2
from brainad.methods.rasalore.crop import Window, brain_window
from brainad.methods.rasalore.examples import brain_slices, grey_slices
from brainad.methods.rasalore.grey import Grey, gamma_corrected
from brainad.methods.rasalore.network import Drawing, Rasalore

# A slice is as anomalous as the most anomalous pixels that fill this area.
_TELLING_MM2 = 200.0


def draw_case(
    network: Rasalore,
    case: PreparedCase,
    channels: Sequence[str],
    axis: int,
    image: int,
    least_pixels: int,
    batch: int,
) -> NDArray[np.float32]:
    """Draw the mask of a case; several channels are fused by their logits.

    Args:
        network: in evaluation mode.
        case: with at least one of the channels.
        channels: in the order of the plan; the first one there gives the windows.
        axis: that slices count along.
        image: edge in pixels of what the network sees.
        least_pixels: of a slice that is looked at.
        batch: slices per step.

    Returns:
        (x, y, z) in 0 … 1; 0 in slices that are not looked at and outside the brain.
    """
    here = [name for name in channels if name in case.images]
    bright = {name: gamma_corrected(grey_slices(case, name, axis)) for name in here}
    indices = brain_slices(case, here[0], axis, least_pixels)
    drawn: NDArray[np.float32] = np.zeros(np.asarray(case.brain).shape, dtype=np.float32)
    planes: NDArray[np.float32] = np.moveaxis(drawn, axis, 0)
    for start in range(0, indices.size, batch):
        chosen = indices[start : start + batch]
        windows = [brain_window(slice_) for slice_ in bright[here[0]][chosen]]
        logits = network.fuse(
            {name: _logits(network, name, windows, bright[name][chosen], image) for name in here}
        )
        for z, window, picture in zip(chosen, windows, torch.sigmoid(logits).cpu(), strict=True):
            planes[z] = window.put_back(picture, (planes.shape[1], planes.shape[2]))
    drawn *= np.asarray(case.brain)
    return drawn


def averaged_through_plane(
    drawn: NDArray[np.float32], brain: NDArray[np.bool_], axis: int, reach: float
) -> NDArray[np.float32]:
    """Average what is drawn over neighbouring slices (specification 10.3).

    A lesion goes on there; what misleads in a single slice does not.

    Args:
        drawn: (x, y, z).
        brain: (x, y, z); the average is 0 outside.
        axis: that slices count along.
        reach: standard deviation of the weights in slices.
    """
    averaged = np.zeros_like(drawn)
    looked_at = np.flatnonzero(drawn.any(axis=tuple({0, 1, 2} - {axis})))
    if looked_at.size:
        span = [slice(None)] * 3
        span[axis] = slice(looked_at[0], looked_at[-1] + 1)
        averaged[*span] = gaussian_filter1d(drawn[*span], reach, axis, mode="nearest")
    averaged *= brain
    return averaged


def slice_scores(
    drawn: NDArray[np.float32], axis: int, spacing_mm: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Return the mean of the largest values of each slice, over 200 mm².

    Args:
        drawn: (x, y, z).
        axis: that slices count along.
        spacing_mm: edges of a voxel.
    """
    pixels = drawn.size // drawn.shape[axis]
    count = min(max(round(_TELLING_MM2 / pixel_mm2(spacing_mm, axis)), 1), pixels)
    largest = highest_values(drawn, axis, count)
    scores: NDArray[np.float32] = largest.mean(1, dtype=np.float32)
    return scores


@torch.no_grad()
def _logits(
    network: Rasalore, name: str, windows: Sequence[Window], slices: Grey, image: int
) -> torch.Tensor:
    cut = [window.cut(slice_, image) for window, slice_ in zip(windows, slices, strict=True)]
    shown = network.shown(name, np.stack(cut))
    images = torch.from_numpy(shown.astype(np.float32))[:, None]
    drawing: Drawing = network(images.to(network.points.device), name)
    return drawing.logits
