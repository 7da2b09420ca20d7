"""From slices to a volume (specification 10.1, 10.4): batches through the network, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from brainad.case import PreparedCase
from brainad.methods.rasalore.crop import brain_window
from brainad.methods.rasalore.examples import brain_slices, grey_slice
from brainad.methods.rasalore.grey import gamma_corrected
from brainad.methods.rasalore.network import Drawing, Rasalore

# A case is as anomalous as so many of its most anomalous voxels in one slice.
_TELLING_VOXELS = 200


def draw_case(
    network: Rasalore,
    case: PreparedCase,
    channels: Sequence[str],
    axis: int,
    image: int,
    least_pixels: int,
    batch: int,
) -> NDArray[np.float32]:
    """Draw the mask of a case; several channels are fused by the mean of their logits.

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
    first = np.asarray(case.images[here[0]])
    indices = brain_slices(case, here[0], axis, least_pixels)
    drawn: NDArray[np.float32] = np.zeros(first.shape, dtype=np.float32)
    planes: NDArray[np.float32] = np.moveaxis(drawn, axis, 0)
    for start in range(0, indices.size, batch):
        chosen = indices[start : start + batch]
        greys = {
            name: [gamma_corrected(grey_slice(case, name, axis, int(z))) for z in chosen]
            for name in here
        }
        windows = [brain_window(slice_) for slice_ in greys[here[0]]]
        logits = torch.stack(
            [
                _logits(network, name, np.stack(
                    [w.cut(s, image) for w, s in zip(windows, greys[name], strict=True)]))
                for name in here
            ]
        ).mean(0)  # fmt: skip
        for z, window, picture in zip(chosen, windows, torch.sigmoid(logits).cpu(), strict=True):
            planes[z] = window.put_back(picture, (planes.shape[1], planes.shape[2]))
    drawn *= np.asarray(case.brain)
    return drawn


def slice_scores(drawn: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return the mean of the 200 largest values of each slice."""
    planes = np.moveaxis(drawn, axis, 0).reshape(drawn.shape[axis], -1)
    count = min(_TELLING_VOXELS, planes.shape[1])
    largest = np.partition(planes, planes.shape[1] - count, axis=1)[:, -count:]
    scores: NDArray[np.float32] = largest.mean(1, dtype=np.float32)
    return scores


@torch.no_grad()
def _logits(network: Rasalore, name: str, pictures: NDArray[np.uint8]) -> torch.Tensor:
    images = torch.from_numpy(pictures.astype(np.float32))[:, None]
    drawing: Drawing = network(images.to(network.points.device), name)
    return drawing.logits
