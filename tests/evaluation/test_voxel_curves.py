import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from brainad.evaluation.lesions import lesion_regions
from brainad.evaluation.metrics import auroc, average_precision
from brainad.evaluation.voxel_curves import (
    LEVELS,
    VoxelCurves,
    area_per_region_overlap,
    at_or_above,
    quantise,
    threshold_of,
)

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "codegraph3d" / "metrics.npz")
# Reference scores reach 1.55; half of them fit into [0, 1] without rounding.
SCALE = np.float32(2)


def golden_metrics() -> dict[str, float]:
    curves = VoxelCurves()
    for score, truth, brain in zip(GOLDEN["score"], GOLDEN["gt"], GOLDEN["brain"], strict=True):
        curves.add(score / SCALE, lesion_regions(truth > 0), brain > 0)
    return curves.metrics()


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        ("AUROC", "voxel_auroc_all"),
        ("AUROC_brain", "voxel_auroc_brain"),
        ("AUPRC", "voxel_ap_all"),
        ("AUPRC_brain", "voxel_ap_brain"),
        ("best_dice", "dice_pooled"),
        ("best_iou", "iou_pooled"),
        ("oracle_dice_mean", "dice_meanvol_global"),
        ("oracle_iou_mean", "iou_meanvol_global"),
        ("oracle_dice_per_case", "dice_pervol_opt_mean"),
        ("oracle_iou_per_case", "iou_pervol_opt_mean"),
    ],
)
def test_agrees_with_the_reference(ours: str, reference: str) -> None:
    assert golden_metrics()[ours] == pytest.approx(float(GOLDEN[reference]), abs=1e-9)


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        ("best_dice_threshold", "thr_pooled"),
        ("oracle_dice_mean_threshold", "thr_meanvol_global"),
    ],
)
def test_thresholds_lie_within_a_level_below_the_reference(ours: str, reference: str) -> None:
    distance = float(GOLDEN[reference]) / 2 - golden_metrics()[ours]
    assert 0 <= distance < 1 / LEVELS


def test_each_volume_reaches_its_own_reference_optimum() -> None:
    anomalous = np.flatnonzero(GOLDEN["patient_label"])
    for volume, dice, iou in zip(
        anomalous, GOLDEN["dice_pervol_opt"], GOLDEN["iou_pervol_opt"], strict=True
    ):
        curves = VoxelCurves()
        truth = GOLDEN["gt"][volume] > 0
        curves.add(GOLDEN["score"][volume] / SCALE, lesion_regions(truth), truth)
        metrics = curves.metrics()
        assert metrics["best_dice"] == metrics["oracle_dice_mean"] == pytest.approx(dice)
        assert metrics["oracle_dice_per_case"] == pytest.approx(dice)
        assert metrics["oracle_iou_per_case"] == pytest.approx(iou)


def test_a_level_and_its_threshold_decide_alike() -> None:
    score = np.random.default_rng(0).random(1000).astype(np.float32)
    level = quantise(score)
    for wanted in (1, 12_345, 32_768, LEVELS - 1):
        assert np.array_equal(level >= wanted, score >= np.float32(threshold_of(wanted)))
    assert quantise(np.array([0, 0.5, 1], dtype=np.float32)).tolist() == [0, 32_768, LEVELS - 1]


@pytest.mark.parametrize("bad", [-0.1, 1.5, math.nan])
def test_scores_outside_the_unit_interval_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        quantise(np.array([0.5, bad]))


def random_volumes(seed: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    rng = np.random.default_rng(seed)
    for _ in range(3):
        truth = rng.random((5, 6, 7)) < 0.1
        yield (rng.integers(0, 40, truth.shape) / 64 + truth / 8).astype(np.float32), truth


def test_histograms_agree_with_exact_areas_of_tied_scores() -> None:
    curves, scores, truths = VoxelCurves(), [], []
    for score, truth in random_volumes(1):
        curves.add(score, lesion_regions(truth), score > 0.1)
        scores.append(score.ravel())
        truths.append(truth.ravel())
    score, truth = np.concatenate(scores), np.concatenate(truths)
    metrics = curves.metrics()
    assert metrics["AUROC"] == pytest.approx(auroc(truth, score), abs=1e-12)
    assert metrics["AUPRC"] == pytest.approx(average_precision(truth, score), abs=1e-12)
    brain = score > 0.1
    assert metrics["AUROC_brain"] == pytest.approx(auroc(truth[brain], score[brain]), abs=1e-12)


def slow_region_overlap(limit: float) -> float:
    """Follow the curve of mean overlap against false positive rate on a fine ruler."""
    volumes = list(random_volumes(2))
    points = [(0.0, 0.0)]
    for threshold in sorted({float(v) for score, _ in volumes for v in score.flat}, reverse=True):
        overlaps, false, negatives = [], 0, 0
        for score, truth in volumes:
            regions = lesion_regions(truth)
            overlaps += [
                float((score[regions == number] >= threshold).mean())
                for number in range(1, regions.max() + 1)
            ]
            false += int((score[~truth] >= threshold).sum())
            negatives += int((~truth).sum())
        points.append((false / negatives, float(np.mean(overlaps))))
    rate, overlap = np.array(points).T
    ruler = np.linspace(0, limit, 200_001)
    return float(np.trapezoid(np.interp(ruler, rate, overlap), ruler)) / limit


def test_region_overlap_agrees_with_its_definition() -> None:
    curves = VoxelCurves()
    for score, truth in random_volumes(2):
        curves.add(score, lesion_regions(truth), score >= 0)
    metrics = curves.metrics()
    assert metrics["AUPRO"] == pytest.approx(slow_region_overlap(0.3), abs=1e-4)
    assert metrics["AUPRO_brain"] == metrics["AUPRO"]


def test_region_overlap_weighs_small_lesions_like_large_ones() -> None:
    score = np.zeros((4, 4, 4), dtype=np.float32)
    regions = np.zeros(score.shape, dtype=np.int32)
    regions[0, 0, 0], regions[2:, 2:, 2:] = 1, 2
    score[0, 0, 0] = 0.9
    curves = VoxelCurves()
    curves.add(score, regions, regions >= 0)
    # One of two lesions before the first false positive, then the chord up to the corner (1, 1).
    assert curves.metrics()["AUPRO"] == pytest.approx((0.5 + 0.65) / 2)


def test_region_overlap_stops_exactly_at_the_limit() -> None:
    negative = np.zeros(LEVELS, dtype=np.int64)
    share = np.zeros(LEVELS)
    negative[10], negative[5], share[10], share[5] = 3, 7, 0.25, 0.75
    assert area_per_region_overlap(share, negative, 1, limit=0.3) == pytest.approx(0.125)
    assert area_per_region_overlap(share, negative, 1, limit=1.0) == pytest.approx(
        0.3 * 0.125 + 0.7 * 0.625
    )


def test_sums_run_from_the_highest_level_down() -> None:
    assert at_or_above(np.array([1, 2, 3])).tolist() == [6, 5, 3]


def test_a_healthy_cohort_has_no_areas_and_no_oracle() -> None:
    curves = VoxelCurves()
    curves.add(np.full((2, 2, 2), 0.5), np.zeros((2, 2, 2), dtype=np.int32), np.ones((2, 2, 2)) > 0)
    metrics = curves.metrics()
    assert metrics.pop("n_cases") == 1
    assert all(math.isnan(value) for value in metrics.values())


def test_a_missing_prediction_costs_its_share_and_nothing_hides_it() -> None:
    score = np.zeros((4, 4, 4), dtype=np.float32)
    regions = np.zeros(score.shape, dtype=np.int32)
    regions[:2, :2, :2], score[:2, :2, :2] = 1, 0.75
    curves = VoxelCurves()
    curves.add(score, regions, regions >= 0)
    assert curves.metrics()["AUROC"] == curves.metrics()["best_dice"] == 1
    curves.add_missing(regions)
    metrics = curves.metrics()
    assert metrics["n_cases"] == 2
    for name in ("AUROC", "AUROC_brain", "AUPRC", "AUPRC_brain", "AUPRO", "AUPRO_brain"):
        assert metrics[name] == pytest.approx(0.5)
    assert metrics["oracle_dice_mean"] == metrics["oracle_dice_per_case"] == 0.5
    assert metrics["best_dice"] == pytest.approx(2 * 8 / (8 + 16))
