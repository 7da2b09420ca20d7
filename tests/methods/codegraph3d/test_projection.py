from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.methods.codegraph3d.projection import projection_matrix

Golden = Callable[[str], dict[str, NDArray[Any]]]


def test_matrix_bits_match_the_golden_file(golden: Golden) -> None:
    known = golden("projection")
    layer = int(known["layer"])
    small = projection_matrix(len(known["R_small"]), known["R_small"].shape[1], layer)
    large = projection_matrix(1024, 128, layer)
    assert np.array_equal(small, known["R_small"])
    assert np.array_equal(large[:8, :8], known["R_big_corner"])
    assert np.array_equal(large[-4:, -4:], known["R_big_last"])
    assert np.isclose(large.sum(dtype=np.float64), known["R_big_sum"], rtol=1e-9)
    assert np.isclose(np.square(large, dtype=np.float64).sum(), known["R_big_sumsq"], rtol=1e-9)


def test_projected_vectors_and_distances_match_the_golden_file(golden: Golden) -> None:
    known = golden("projection")
    projected = known["z"].astype(np.float64) @ projection_matrix(1024, 128, int(known["layer"]))
    after = np.linalg.norm(projected[:20] - projected[20:], axis=1)
    assert np.allclose(projected, known["v"], rtol=1e-5, atol=1e-7)
    assert np.allclose(after, known["dist_after"], rtol=1e-5)


def test_layers_have_different_matrices() -> None:
    assert not np.array_equal(projection_matrix(8, 4, 3), projection_matrix(8, 4, 6))
