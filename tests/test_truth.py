from __future__ import annotations

from pathlib import Path

import numpy as np

from brainad.arrays import ArrayFolder
from brainad.truth import ANOMALOUS, NORMAL, UNKNOWN, PreparedTruth, PreparedTruthFolder

SLICES = np.array([NORMAL, ANOMALOUS, UNKNOWN], dtype=np.int8)


def test_a_truth_comes_back_with_and_without_a_mask(tmp_path: Path) -> None:
    folder = PreparedTruthFolder(ArrayFolder(tmp_path))
    lesion = np.zeros((4, 4, 3), dtype=bool)
    lesion[1, 2, 1] = True
    folder.write("with", "key", PreparedTruth(lesion, SLICES))
    folder.write("without", "key", PreparedTruth(None, SLICES))
    stored = folder.read("with")
    assert stored.lesion is not None
    assert np.array_equal(stored.lesion, lesion)
    assert np.array_equal(stored.slices, SLICES)
    assert folder.read("without").lesion is None


def test_it_is_valid_for_one_key(tmp_path: Path) -> None:
    folder = PreparedTruthFolder(ArrayFolder(tmp_path))
    folder.write("case", "key", PreparedTruth(None, SLICES))
    assert folder.holds("case", "key")
    assert not folder.holds("case", "labels changed")
    assert not folder.holds("other", "key")
