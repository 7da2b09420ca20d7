import math
from pathlib import Path

import numpy as np

from brainad.evaluation.lesions import (
    Lesion,
    lesion_regions,
    measure_lesions,
    sensitivity,
    sensitivity_by_size,
)

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "codegraph3d" / "metrics.npz")


def golden_lesions() -> list[tuple[int, Lesion]]:
    voxel_mm3 = float(np.prod(GOLDEN["spacing"]))
    threshold = GOLDEN["thr_meanvol_global"]
    return [
        (volume, lesion)
        for volume, (score, truth) in enumerate(zip(GOLDEN["score"], GOLDEN["gt"], strict=True))
        for lesion in measure_lesions(lesion_regions(truth > 0), score >= threshold, voxel_mm3)
    ]


def test_lesions_agree_with_the_reference() -> None:
    lesions = golden_lesions()
    assert [volume for volume, _ in lesions] == GOLDEN["lesion_volume_index"].tolist()
    measured = [lesion for _, lesion in lesions]
    np.testing.assert_allclose([x.volume_mm3 for x in measured], GOLDEN["lesion_mm3"], atol=1e-9)
    np.testing.assert_allclose([x.overlap for x in measured], GOLDEN["lesion_overlap"], atol=1e-9)
    assert [x.is_found for x in measured] == (GOLDEN["lesion_hit_any"] > 0).tolist()


def test_sensitivity_by_size_agrees_with_the_reference() -> None:
    lesions = [lesion for _, lesion in golden_lesions()]
    np.testing.assert_allclose(
        sensitivity_by_size(lesions, GOLDEN["ltpr_edges"].tolist()), GOLDEN["ltpr"]
    )


def test_voxels_that_touch_at_a_corner_are_one_lesion() -> None:
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 3, 3] = True
    regions = lesion_regions(mask)
    assert regions.dtype == np.int32
    assert regions[0, 0, 0] == regions[1, 1, 1] == 1
    assert regions[3, 3, 3] == 2


def test_size_bins_include_their_lower_edge() -> None:
    lesions = [Lesion(99.9, 0), Lesion(100, 0.1), Lesion(1000, 1), Lesion(5000, 0)]
    assert sensitivity_by_size(lesions) == [0, 1, 0.5]
    assert sensitivity(lesions) == 0.5


def test_nothing_to_find_has_no_sensitivity() -> None:
    empty = np.zeros((3, 3, 3), dtype=bool)
    lesions = measure_lesions(lesion_regions(empty), ~empty, 1.0)
    assert lesions == []
    assert math.isnan(sensitivity(lesions))
    assert all(math.isnan(value) for value in sensitivity_by_size(lesions))


def test_overlap_is_the_share_of_the_lesion() -> None:
    mask = np.zeros((6, 3, 3), dtype=bool)
    mask[:4, 1, 1] = True
    predicted = np.zeros_like(mask)
    predicted[3:, :, :] = True
    (lesion,) = measure_lesions(lesion_regions(mask), predicted, 2.5)
    assert lesion == Lesion(volume_mm3=10.0, overlap=0.25)
