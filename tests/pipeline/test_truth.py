from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainad.arrays import ArrayFolder
from brainad.case import Case, Labels
from brainad.dataset import read_dataset
from brainad.nifti import read_volume
from brainad.pipeline.dataset import PREPARED_FOLDER, TRUTH_FOLDER, DatasetWork, expectations_of
from brainad.pipeline.truth import TruthKeeper
from brainad.prepared import PreparedFolder
from brainad.truth import ANOMALOUS, NORMAL, UNKNOWN, PreparedTruthFolder


def test_preprocessing_keeps_the_truth_apart_from_the_images(phantom_work: DatasetWork) -> None:
    truths = PreparedTruthFolder(ArrayFolder(phantom_work.derived / TRUTH_FOLDER))
    prepared = PreparedFolder(phantom_work.derived / PREPARED_FOLDER)
    dataset = read_dataset(phantom_work.raw)
    for case in dataset.cases:
        truth = truths.read(case.case_id)
        if case.labels.label == "healthy":
            assert truth.lesion is None
            assert (truth.slices == NORMAL).all()
            continue
        assert case.labels.mask is not None
        native = read_volume(case.labels.mask)
        assert truth.lesion is not None
        volume_mm3 = truth.lesion.sum() * prepared.read(case.case_id).placement.working.voxel_mm3
        assert volume_mm3 == pytest.approx((native.data > 0).sum() * native.grid.voxel_mm3, rel=0.1)
        shown = truth.lesion.any(axis=(0, 1))
        assert (truth.slices[shown] == ANOMALOUS).all()
        assert (truth.slices == NORMAL).any()
    assert not list((phantom_work.derived / PREPARED_FOLDER).rglob("*lesion*"))


@pytest.fixture
def case(phantom_work: DatasetWork) -> Case:
    return read_dataset(phantom_work.raw).cases[0]


def keeper(work: DatasetWork, folder: Path) -> TruthKeeper:
    return TruthKeeper(
        PreparedFolder(work.derived / PREPARED_FOLDER),
        PreparedTruthFolder(ArrayFolder(folder)),
        expectations_of(read_dataset(work.raw)),
        slice_axis=2,
    )


def test_it_is_placed_anew_when_the_labels_change(
    phantom_work: DatasetWork, case: Case, tmp_path: Path
) -> None:
    keep = keeper(phantom_work, tmp_path)
    (first,) = keep.keep([case])
    assert first.seconds > 0
    assert [outcome.seconds for outcome in keep.keep([case])] == [0.0]
    unknown = replace(case, labels=Labels())
    assert next(iter(keep.keep([unknown]))).seconds > 0
    assert (keep.truths.read(case.case_id).slices == UNKNOWN).all()


def test_a_mask_that_cannot_be_read_says_nothing(
    phantom_work: DatasetWork, case: Case, tmp_path: Path
) -> None:
    broken = tmp_path / "mask.nii.gz"
    shutil.copy2(case.images["T2"], broken)
    broken.write_bytes(broken.read_bytes()[:500])
    (outcome,) = keeper(phantom_work, tmp_path).keep(
        [replace(case, labels=Labels("unhealthy", mask=broken))]
    )
    assert outcome.failure is None
    stored = keeper(phantom_work, tmp_path).truths.read(case.case_id)
    assert stored.lesion is None
    assert np.unique(stored.slices).tolist() == [UNKNOWN]


def test_labels_of_another_plane_than_the_plans_are_told(
    phantom_work: DatasetWork, case: Case, tmp_path: Path
) -> None:
    axis = read_volume(case.images["T2"]).grid.array_axis(0)
    labels = Labels(slices={1: True}, slice_axis=axis)
    (outcome,) = keeper(phantom_work, tmp_path).keep([replace(case, labels=labels)])
    assert outcome.failure is not None
    assert outcome.failure.message == "its sagittal slices are labelled, the plan is for axial ones"
    assert '"axis": "sagittal"' in outcome.failure.fix
