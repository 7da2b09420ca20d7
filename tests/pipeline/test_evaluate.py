from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brainad.errors import DataError, UsageError
from brainad.files import read_json, write_text
from brainad.inference.outputs import OutputFolder
from brainad.nifti import read_volume, write_volume
from brainad.pipeline.evaluate import evaluate_folder, find_truth, read_truth
from brainad.volume import Volume, centred_grid

SHAPE = (4, 5, 6)


def block(spacing_mm: float = 2.0) -> Volume:
    """Make a mask with one block of 8 voxels."""
    data = np.zeros(SHAPE, dtype=np.uint8)
    data[1:3, 1:3, 1:3] = 1
    return Volume(data, centred_grid(SHAPE, spacing_mm, np.zeros(3)))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Write masks of two cases as truth, and the same as prediction."""
    truth, predictions = tmp_path / "truth", tmp_path / "predictions"
    for name in ("a", "b"):
        write_volume(truth / f"{name}.nii.gz", block())
        write_volume(OutputFolder(predictions).mask_path(name), block())
    return truth, predictions


def counts(predictions: Path) -> dict[str, int]:
    found: dict[str, int] = read_json(predictions / "summary.json")["n_cases"]
    return found


def test_bare_masks_are_evaluated(folders: tuple[Path, Path]) -> None:
    truth, predictions = folders
    evaluate_folder(find_truth(truth), predictions)
    assert counts(predictions) == {"expected": 2, "evaluated": 2, "missing": 0, "failed": 0}
    cases = read_json(predictions / "summary.json")["metric_per_case"]
    assert [case["metrics"]["1"]["Dice"] for case in cases] == [1.0, 1.0]


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_truth_that_does_not_fit_is_a_failure_and_the_others_go_on(
    folders: tuple[Path, Path], is_readable: bool
) -> None:
    truth, predictions = folders
    if is_readable:
        write_volume(truth / "a.nii.gz", block(spacing_mm=3.0))
    else:
        (truth / "a.nii.gz").write_bytes(b"no image")
    evaluate_folder(find_truth(truth), predictions)
    assert counts(predictions) == {"expected": 2, "evaluated": 1, "missing": 0, "failed": 1}


def test_grids_that_differ_are_named(folders: tuple[Path, Path]) -> None:
    truth, _ = folders
    with pytest.raises(DataError, match="different grids") as caught:
        read_truth(find_truth(truth), "b", block(spacing_mm=3.0))
    assert caught.value.where == str(truth / "b.nii.gz")


def test_a_label_of_a_table_is_a_known_word_or_unknown(folders: tuple[Path, Path]) -> None:
    truth, _ = folders
    write_text(truth / "cases.csv", "case_id,label\na,\nb,healthy\nc,unhealthy\n")
    found = find_truth(truth)
    assert found.labels == {"a": "unknown", "b": "healthy", "c": "unhealthy"}
    assert found.masks["c"] is None
    write_text(truth / "cases.csv", "case_id,label\na,ill\n")
    with pytest.raises(UsageError, match="label 'ill'") as caught:
        find_truth(truth)
    assert "unhealthy" in caught.value.fix


def test_only_the_anomalous_values_of_a_dataset_count(phantom_dataset: Path) -> None:
    found = find_truth(phantom_dataset)
    ill = next(name for name, label in found.labels.items() if label == "unhealthy")
    path = found.masks[ill]
    assert path is not None
    known = read_truth(found, ill, None)
    assert known.lesion is not None
    assert np.array_equal(known.lesion, read_volume(path).data == 1)
    assert known.lesion.any()
