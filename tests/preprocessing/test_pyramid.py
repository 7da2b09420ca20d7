from __future__ import annotations

import numpy as np
import pytest

from brainad.errors import DataError
from brainad.preprocessing.pyramid import UNIT_MM, Scan, cropped, itk_image
from brainad.resampling import resample
from brainad.volume import Grid, Volume


def _scan() -> Scan:
    """Build a bright slab in a brain block, in a turned anisotropic grid."""
    affine = np.diag([-1.0, 1.5, 3.0, 1.0])
    affine[:3, 3] = (12.0, -7.0, 4.0)
    data = np.full((24, 20, 12), 9.0, dtype=np.float32)
    brain = np.zeros(data.shape, dtype=bool)
    brain[6:18, 4:16, 2:10] = True
    data[6:18, 4:10, 2:10] = 50.0
    grid = Grid(data.shape, affine)
    return Scan(Volume(data, grid), Volume(brain, grid))


def test_centre_and_volume_of_the_brain() -> None:
    scan = _scan()
    np.testing.assert_allclose(scan.centre_mm(), [12 - 11.5, -7 + 9.5 * 1.5, 4 + 5.5 * 3])
    assert scan.brain_mm3() == pytest.approx(12 * 12 * 8 * 4.5)


def test_without_a_brain_the_intensities_have_a_centre() -> None:
    data = np.zeros((5, 5, 5), dtype=np.float32)
    data[1, 2, 3] = 4.0
    data[0, 0, 0] = -50.0
    np.testing.assert_allclose(
        Scan(Volume(data, Grid(data.shape, np.eye(4))), None).centre_mm(), [1, 2, 3]
    )


def test_coarse_images_are_0_outside_and_raised_inside() -> None:
    coarse = _scan().coarse(4.0, margin_mm=12.0)
    assert coarse.grid.spacing_mm == (4.0, 4.0, 4.0)
    np.testing.assert_allclose(coarse.grid.centre_mm, _scan().centre_mm(), atol=4.0)
    shape = np.array(coarse.grid.shape)
    front, back = shape // 2 + (0, 1, 0), shape // 2 - (0, 1, 0)
    assert coarse.data[0].max() == 0
    # Tissue spans 41 and is raised by half of that: about 20 for the dark part, 61 for the slab.
    assert 61 >= coarse.data[tuple(back)] > 50
    assert 35 > coarse.data[tuple(front)] >= 20


def test_cropping_keeps_every_voxel_in_its_place() -> None:
    scan = _scan()
    assert scan.brain is not None
    part = cropped(scan.image, scan.brain.data)
    np.testing.assert_array_equal(part.data, scan.image.data[4:20, 2:18, 0:12])
    np.testing.assert_array_equal(
        resample(part, part.grid).data, resample(scan.image, part.grid).data
    )


def test_itk_images_lie_in_scaled_world_space() -> None:
    volume = _scan().image
    image = itk_image(volume)
    index = (3, 5, 7)
    world = volume.grid.affine @ np.array([*index, 1.0])
    point = image.TransformIndexToPhysicalPoint(index[::-1])
    np.testing.assert_allclose(np.array(point) * UNIT_MM, world[:3])
    assert image[index[::-1]] == volume.data[index]


def test_an_empty_brain_is_a_data_error() -> None:
    image = _scan().image
    with pytest.raises(DataError, match="empty"):
        Scan(image, Volume(np.zeros(image.data.shape, dtype=bool), image.grid))


def test_a_constant_image_is_a_data_error() -> None:
    scan = _scan()
    constant = Volume(np.ones_like(scan.image.data), scan.image.grid)
    with pytest.raises(DataError, match="nothing to align"):
        Scan(constant, scan.brain).coarse(4.0, 10.0)
