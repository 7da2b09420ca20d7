from __future__ import annotations

import numpy as np
import pytest

from brainad.nifti import write_volume
from brainad.phantom.skull import Surroundings, load_fluid, load_surroundings
from brainad.phantom.template import load_tissue_maps
from brainad.volume import Volume, centred_grid


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Surroundings]:
    """A ball of brightness 100 around the template's brain, 200 at its front, per edge."""
    grid = centred_grid((56, 64, 56), 4.0, np.array([0.0, -18.0, 10.0]))
    x, y, z = np.indices(grid.shape) * 4.0
    distance = np.sqrt((x - 110) ** 2 + (y - 126) ** 2 + (z - 110) ** 2)
    data = np.where(distance < 106, 100.0, 0.0).astype(np.float32)
    data[(distance < 106) & (y > 210)] = 200
    path = tmp_path_factory.mktemp("head") / "head.nii.gz"
    write_volume(path, Volume(data, grid))
    return {edge_mm: load_surroundings(path, edge_mm) for edge_mm in (1, 4)}


@pytest.mark.parametrize("edge_mm", [1, 4])
def test_brightness_is_relative_to_white_matter(
    surroundings: dict[int, Surroundings], edge_mm: int
) -> None:
    around = surroundings[edge_mm]
    assert around.grid.spacing_mm == pytest.approx((edge_mm,) * 3)
    assert around.t1.max() == pytest.approx(2, abs=0.05)
    assert np.median(around.t1[around.t1 > 0.5]) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("edge_mm", [2, 4])
def test_fluid_covers_the_brain_and_fades(edge_mm: int) -> None:
    fluid, brain = load_fluid(edge_mm), load_tissue_maps(edge_mm).brain
    assert fluid[brain > 0.99].min() > 0.75
    assert fluid[0, 0, 0] == 0 and fluid.max() == 1
    assert not fluid.flags.writeable


@pytest.mark.parametrize("edge_mm", [1, 4])
def test_tissue_positions_span_the_head(
    surroundings: dict[int, Surroundings], edge_mm: int
) -> None:
    points = surroundings[edge_mm].tissue_mm()
    assert np.ptp(points, axis=1) == pytest.approx([208, 208, 208], abs=12)
