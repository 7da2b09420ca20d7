"""Gaussian weighting of masks: the inside, the rim, the background (specification 5.2)."""

from __future__ import annotations

import functools

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor


def centre_weighted(masks: Tensor, sigma: float) -> Tensor:
    """Return G_σ(M): masks (n, size, size) whose inside weighs most."""
    return masks * blurred_share(masks, sigma)


def rim_weighted(masks: Tensor, sigma: float) -> Tensor:
    """Return G⁻¹_σ(M): masks (n, size, size) whose rim weighs most."""
    return masks * (1 - blurred_share(masks, sigma))


def blurred_share(masks: Tensor, sigma: float) -> Tensor:
    """Return w_σ(M): blurred masks divided by their maxima; 0 for an empty mask.

    Args:
        masks: (n, size, size).
        sigma: in pixels.
    """
    blur = torch.from_numpy(_blur_matrix(masks.shape[-1], sigma)).to(masks)
    blurred = blur @ masks @ blur.T
    largest = blurred.amax((1, 2), keepdim=True)
    return blurred / torch.where(largest > 0, largest, 1)


@functools.cache
def _blur_matrix(size: int, sigma: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return the matrix (size, size) that blurs a column, with mirrored borders."""
    kernel = ndimage.gaussian_filter1d(np.eye(size), sigma, axis=0, mode="reflect")
    return kernel.astype(np.float32)
