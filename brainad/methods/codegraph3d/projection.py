"""The fixed random projection of encoder features (Johnson-Lindenstrauss)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FIRST_SEED = 42


def projection_matrix(width: int, projected_width: int, layer: int) -> NDArray[np.float32]:
    """Draw the Gaussian matrix of one layer; the same for all views and all volumes.

    Entries are N(0, 1) / sqrt(projected_width), so that squared lengths are kept on average.
    The legacy generator is used because its stream never changes between numpy versions.

    Args:
        width: length D of an encoder feature.
        projected_width: length k after projection.
        layer: number of the transformer block, from 1; the seed is 42 + layer.

    Returns:
        (width, projected_width) float32.
    """
    normal = np.random.RandomState(FIRST_SEED + layer).standard_normal((width, projected_width))
    matrix: NDArray[np.float32] = (normal / np.sqrt(projected_width)).astype(np.float32)
    return matrix
