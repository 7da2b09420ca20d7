"""Metrics of whole slices agree with published ones (golden numbers of anyad)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from brainad.evaluation.metrics import auroc, average_precision, best_f1
from brainad.evaluation.voxel_curves import LEVELS, VoxelCurves, area_per_region_overlap

GOLDEN = Path(__file__).parents[1] / "golden" / "anyad"
# The published F1 adds this to its denominator.
_F1_EPSILON = 1e-6


@pytest.fixture(params=["metrics", "metrics_ties"])
def arrays(request: pytest.FixtureRequest) -> Mapping[str, NDArray[Any]]:
    with np.load(GOLDEN / f"{request.param}.npz", allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def ranked(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Spread distinct scores over distinct levels: no metric here minds increasing maps."""
    distinct, index = np.unique(scores, return_inverse=True)
    assert distinct.size < LEVELS
    levels: NDArray[np.float64] = (index.reshape(scores.shape) + 0.5) / LEVELS
    return levels


def slice_regions(truth: NDArray[Any]) -> tuple[NDArray[np.int32], int]:
    """Number the 8-connected regions of (slices, h, w) masks, slice by slice."""
    structure = np.zeros((3, 3, 3), dtype=bool)
    structure[1] = True
    regions, count = ndimage.label(truth, structure)
    return np.asarray(regions, dtype=np.int32), int(count)


def test_slices_are_judged_like_the_published_images(
    arrays: Mapping[str, NDArray[Any]],
) -> None:
    truth, score = arrays["gt_sp"].astype(bool), arrays["pr_sp"]
    assert auroc(truth, score) == pytest.approx(float(arrays["i_auroc"]), abs=1e-6)
    assert average_precision(truth, score) == pytest.approx(float(arrays["i_ap"]), abs=1e-6)
    assert best_f1(truth, score) == pytest.approx(float(arrays["i_f1max"]), abs=_F1_EPSILON)


def test_voxels_are_judged_like_the_published_pixels(
    arrays: Mapping[str, NDArray[Any]],
) -> None:
    truth, score = arrays["gt_px"].astype(bool), ranked(arrays["pr_px"])
    regions, count = slice_regions(truth)
    assert count == int(arrays["n_regions"])
    curves = VoxelCurves()
    curves.add(score, regions, np.ones(truth.shape, dtype=bool))
    found = curves.metrics()
    assert found["AUROC"] == pytest.approx(float(arrays["p_auroc_exact"]), abs=1e-6)
    assert found["AUPRC"] == pytest.approx(float(arrays["p_ap_exact"]), abs=1e-6)
    assert found["best_dice"] == pytest.approx(float(arrays["p_f1max"]), abs=_F1_EPSILON)
    assert found["AUPRO"] == pytest.approx(float(arrays["aupro30_exact"]), abs=1e-6)
    level = (score * LEVELS).astype(np.int64)
    inside = regions > 0
    share = np.bincount(
        level[inside],
        weights=1 / np.bincount(regions[inside])[regions[inside]],
        minlength=LEVELS,
    )
    negative = np.bincount(level[~truth], minlength=LEVELS)
    strict = area_per_region_overlap(share.astype(np.float64), negative, count, limit=0.05)
    assert strict == pytest.approx(float(arrays["aupro05_exact"]), abs=1e-6)


def binned(arrays: Mapping[str, NDArray[Any]], bins: int = 200) -> dict[str, float]:
    """The published shortcut: thresholds at the edges of bins, trapezoids between them."""
    score, truth = arrays["pr_px"].astype(np.float64), arrays["gt_px"].astype(bool)
    regions, count = slice_regions(truth)
    edges = np.linspace(score.min(), score.max(), bins + 1)
    sizes = np.bincount(regions.ravel(), minlength=count + 1)[1:]
    recall, rate, precision, overlap = [], [], [], []
    for edge in edges[::-1]:
        found = score >= edge
        hits, alarms = int((found & truth).sum()), int((found & ~truth).sum())
        recall.append(hits / truth.sum())
        rate.append(alarms / (~truth).sum())
        precision.append(hits / (hits + alarms) if hits + alarms else 1.0)
        covered = np.bincount(regions[found], minlength=count + 1)[1:]
        overlap.append(float((covered / sizes).mean()))
    limit = 0.3
    inside = np.array(rate) <= limit
    at_limit = np.interp(limit, rate, overlap)
    return {
        "p_auroc_bin200": float(np.trapezoid(recall, rate)),
        "p_aupr_bin200": float(np.trapezoid(precision, recall)),
        "aupro30_bin200": float(
            np.trapezoid([*np.array(overlap)[inside], at_limit], [*np.array(rate)[inside], limit])
        )
        / limit,
    }


def test_the_published_bins_are_understood(arrays: Mapping[str, NDArray[Any]]) -> None:
    """A quirk that the package does not offer: it explains the released figures."""
    found = binned(arrays)
    for name, value in found.items():
        assert value == pytest.approx(float(arrays[name]), abs=2e-3), name
    released = arrays["released_eval"]
    assert auroc(arrays["gt_sp"].astype(bool), arrays["pr_sp"]) == pytest.approx(
        float(released[0]), abs=5e-3
    )
    assert found["p_auroc_bin200"] == pytest.approx(float(released[3]), abs=5e-3)
    assert found["p_aupr_bin200"] == pytest.approx(float(released[4]), abs=5e-3)
    assert found["aupro30_bin200"] == pytest.approx(float(released[6]), abs=5e-3)


def test_a_truth_without_anomaly_has_no_f1() -> None:
    assert np.isnan(best_f1(np.zeros(3, dtype=bool), np.arange(3)))
    assert best_f1(np.array([True, False]), np.array([1.0, 1.0])) == pytest.approx(2 / 3)
