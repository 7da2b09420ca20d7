import io

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.reporting.figures import CasePicture, cohort_figure, overlay_figure
from brainad.volume import Grid, Volume

SHAPE = (20, 24, 22)


def picture(data_of: str = "peak", lesion: bool = True) -> CasePicture:
    """A grey box in RAS+ with a map that peaks on the right, in front, above the middle."""
    grid = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))
    image = np.zeros(SHAPE, dtype=np.float32)
    image[3:17, 3:21, 3:19] = 50
    anomaly_map = np.where(image > 0, 0.1, 0).astype(np.float32)
    if data_of == "peak":
        anomaly_map[13:16, 16:19, 14:17] = 0.7
    truth = Volume(anomaly_map > 0.5, grid) if lesion else None
    return CasePicture("case", Volume(image, grid), Volume(anomaly_map, grid), truth)


def stored_as(case: CasePicture, codes: str) -> CasePicture:
    """Return the same case with its voxels stored in another axis order."""

    def store(volume: Volume) -> Volume:
        image = nib.nifti1.Nifti1Image(volume.data.astype(np.float32), volume.grid.affine)
        wanted = nib.orientations.axcodes2ornt(codes)
        turned = image.as_reoriented(
            nib.orientations.ornt_transform(nib.orientations.io_orientation(image.affine), wanted)
        )
        data = np.asarray(turned.dataobj).astype(volume.data.dtype)
        return Volume(data, Grid(data.shape, turned.affine))

    truth = None if case.lesion is None else store(case.lesion)
    return CasePicture(case.title, store(case.image), store(case.anomaly_map), truth)


def pixels(png: bytes) -> NDArray[np.float64]:
    image: NDArray[np.float64] = matplotlib.image.imread(io.BytesIO(png), format="png")
    return image[..., :3]


def coloured(image: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find the warm pixels of a strong map."""
    warm: NDArray[np.bool_] = image[..., 0] - image[..., 2] > 0.3
    return warm


def test_the_map_appears_on_the_side_it_belongs_to() -> None:
    image = pixels(overlay_figure(picture(lesion=False)))
    body = image[: int(image.shape[0] * 0.85)]
    lit = body.max(axis=2) > 0.3
    edges = np.array([0, 1 / 3, 2 / 3, 1]) * image.shape[1]
    for left, right in zip(edges[:-1].astype(int), edges[1:].astype(int), strict=True):
        warm_rows, warm_columns = np.nonzero(coloured(body[:, left:right]))
        rows, columns = np.nonzero(lit[:, left:right])
        # Front, right, and above the middle: towards the right and the top of every view.
        assert warm_columns.mean() > columns.mean() + 10
        assert warm_rows.mean() < rows.mean() - 10


@pytest.mark.parametrize("codes", ["LPS", "PIR"])
def test_the_order_of_storage_does_not_show(codes: str) -> None:
    assert overlay_figure(stored_as(picture(), codes)) == overlay_figure(picture())


def test_the_truth_is_outlined_only_where_it_is_given() -> None:
    with_truth = pixels(overlay_figure(picture()))
    without = pixels(overlay_figure(picture(lesion=False)))

    def green(image: NDArray[np.float64]) -> int:
        return int(np.sum((image[..., 1] > 0.7) & (image[..., 0] < 0.5) & (image[..., 2] < 0.7)))

    assert green(without) == 0
    assert green(with_truth) > 20


def test_a_map_below_the_threshold_leaves_the_scan_grey() -> None:
    image = pixels(overlay_figure(picture("calm", lesion=False)))
    body = image[: int(image.shape[0] * 0.85)]
    assert not coloured(body).any()


def test_a_case_without_any_evidence_is_still_drawn() -> None:
    grid = Grid((5, 6, 7), np.eye(4))
    nothing = Volume(np.zeros(grid.shape, dtype=np.float32), grid)
    assert overlay_figure(CasePicture("", nothing, nothing)).startswith(b"\x89PNG")


def test_the_cohort_grows_by_one_row_per_case() -> None:
    one = pixels(cohort_figure([picture()]))
    three = pixels(cohort_figure([picture(), picture(lesion=False), picture("calm", False)]))
    assert three.shape[1] == one.shape[1]
    assert three.shape[0] > 2 * one.shape[0]
    thirds = np.array_split(coloured(one[: int(one.shape[0] * 0.8)]), 3, axis=1)
    assert [bool(part.any()) for part in thirds] == [False, True, False]
