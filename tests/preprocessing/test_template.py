from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainad.errors import UsageError
from brainad.nifti import write_volume
from brainad.preprocessing.template import MNI152, load_template
from brainad.volume import Grid, Volume


def test_mni152_is_stripped_shared_and_read_only() -> None:
    template = load_template(MNI152)
    assert template.image.grid.spacing_mm == (1.0, 1.0, 1.0)
    assert 1.7e6 < template.brain.data.sum() < 2.0e6
    assert not template.image.data[~template.brain.data].any()
    assert load_template(MNI152) is template
    with pytest.raises(ValueError, match="read-only"):
        template.image.data[0, 0, 0] = 1


def test_the_box_holds_the_brain() -> None:
    lower, upper = load_template(MNI152).box_mm()
    assert (upper - lower).tolist() == [145.0, 181.0, 155.0]
    assert abs(float(lower[0] + upper[0])) <= 2


def test_a_file_is_turned_to_ras(tmp_path: Path) -> None:
    data = np.zeros((6, 7, 8), dtype=np.float32)
    data[1:4, 2:5, 3:7] = np.arange(1, 37, dtype=np.float32).reshape(3, 3, 4)
    path = tmp_path / "atlas.nii.gz"
    write_volume(path, Volume(data, Grid(data.shape, np.diag([-2.0, -2.0, 2.0, 1.0]))))
    template = load_template(str(path))
    assert "".join(nib.aff2axcodes(template.image.grid.affine)) == "RAS"
    np.testing.assert_array_equal(template.image.data, data[::-1, ::-1])
    lower, upper = template.box_mm()
    assert lower.tolist() == [-7.0, -9.0, 5.0]
    assert upper.tolist() == [-1.0, -3.0, 13.0]


@pytest.mark.parametrize("name", ["sri25", "missing.nii.gz"])
def test_an_unknown_template_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="template"):
        load_template(name)


def test_an_empty_template_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "empty.nii.gz"
    write_volume(path, Volume(np.zeros((3, 3, 3), dtype=np.float32), Grid((3, 3, 3), np.eye(4))))
    with pytest.raises(UsageError, match="no brain"):
        load_template(str(path))
