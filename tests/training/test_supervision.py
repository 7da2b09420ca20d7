from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainad.arrays import ArrayFolder
from brainad.case import PreparedCase, Supervision
from brainad.prepared import PreparedFolder, PreparedRecord
from brainad.training.supervision import TrainingCases, supervise
from brainad.truth import ANOMALOUS, NORMAL, UNKNOWN, PreparedTruth, PreparedTruthFolder


@pytest.fixture
def truth(prepared_case: PreparedCase) -> PreparedTruth:
    lesion = np.zeros(prepared_case.brain.shape, dtype=bool)
    lesion[2, 2, 3] = True
    slices = np.array([NORMAL, NORMAL, UNKNOWN, ANOMALOUS, UNKNOWN, NORMAL, NORMAL, NORMAL])
    return PreparedTruth(lesion, slices.astype(np.int8))


def test_each_level_shows_as_much_as_it_may(
    prepared_case: PreparedCase, truth: PreparedTruth
) -> None:
    nothing = supervise(prepared_case, truth, Supervision.NONE)
    assert nothing.usable.all()
    assert nothing.target is None
    normal = supervise(prepared_case, truth, Supervision.NORMAL)
    assert normal.usable.tolist() == [True, True, False, False, False, True, True, True]
    assert normal.target is None
    slices = supervise(prepared_case, truth, Supervision.SLICE)
    assert slices.usable.tolist() == [True, True, False, True, False, True, True, True]
    assert slices.target is not None
    assert np.flatnonzero(slices.target).tolist() == [3]
    voxels = supervise(prepared_case, truth, Supervision.VOXEL)
    assert voxels.usable.all()
    assert voxels.target is truth.lesion


def test_without_a_mask_only_normal_slices_are_annotated(
    prepared_case: PreparedCase, truth: PreparedTruth
) -> None:
    training = supervise(prepared_case, replace(truth, lesion=None), Supervision.VOXEL)
    assert training.usable.tolist() == (truth.slices == NORMAL).tolist()
    assert training.target is not None
    assert training.target.shape == prepared_case.brain.shape
    assert not training.target.any()


def test_cases_are_read_when_asked_for(
    prepared_case: PreparedCase, truth: PreparedTruth, tmp_path: Path
) -> None:
    prepared = PreparedFolder(tmp_path / "prepared")
    truths = PreparedTruthFolder(ArrayFolder(tmp_path / "truth"))
    names = ["b", "a", "c"]
    for name in names:
        record = PreparedRecord("key", tuple(prepared_case.images), (), {})
        prepared.write(replace(prepared_case, case_id=name), record)
        truths.write(name, "key", truth)
    cases = TrainingCases(prepared, truths, names, Supervision.SLICE)
    assert len(cases) == 3
    assert [each.case.case_id for each in cases] == names
    assert cases[1].case.case_id == "a"
    assert [each.case.case_id for each in cases[1:]] == ["a", "c"]
    assert cases[-1].target.tolist() == (truth.slices == ANOMALOUS).tolist()
