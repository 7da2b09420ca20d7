from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from brainad.errors import UsageError
from brainad.files import read_csv, read_json
from brainad.inference.outputs import Marker, OutputFolder
from brainad.nifti import read_volume, write_volume
from brainad.pipeline.cases import Outcome
from brainad.pipeline.ensemble import RECORD_FILE, ensemble_folders
from brainad.prediction import Result
from brainad.volume import Grid, Volume

_GRID = Grid((4, 5, 3), np.diag([-1.0, 2.0, 3.0, 1.0]))


def deliver(folder: Path, name: str, values: np.ndarray, score: float) -> None:
    scan = folder.parent / f"scan_{name}.nii.gz"
    write_volume(scan, Volume(np.ones(_GRID.shape, dtype=np.float32), _GRID))
    data = Volume(values.astype(np.float32), _GRID)
    slices = values.max(axis=(0, 1))
    result = Result(name, data, Volume(values >= 0.5, _GRID), score, 9.0, 2, slices)
    row = {
        "case_id": name,
        "score": score,
        "threshold": 0.5,
        "channels_used": "T2",
        "warnings": "",
        "runtime_s": 2.0,
        "device": "cpu",
        "model_id": folder.name,
    }
    marker = Marker(folder.name, row, 2, tuple(map(float, slices)), None, None)
    OutputFolder(folder).deliver(result, scan, marker)


@pytest.fixture
def folders(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, Path]:
    first, second = tmp_path / "first", tmp_path / "second"
    for name in ("a", "b"):
        deliver(first, name, 0.9 * rng.random(_GRID.shape), 0.2)
        deliver(second, name, 0.9 * rng.random(_GRID.shape), 0.6)
    return first, second


@pytest.mark.parametrize(("weights", "share"), [((), 0.5), ((3.0, 1.0), 0.75)])
def test_maps_and_scores_are_averaged_and_masks_made_anew(
    folders: tuple[Path, Path], tmp_path: Path, weights: tuple[float, ...], share: float
) -> None:
    target = tmp_path / "both"
    markers = ensemble_folders(folders, target, weights)
    assert [marker.row["case_id"] for marker in markers] == ["a", "b"]
    one, other, both = (read_volume(OutputFolder(f).map_path("a")) for f in (*folders, target))
    expected = share * one.data + (1 - share) * other.data
    assert np.allclose(both.data, expected, atol=1e-6)
    assert both.grid.matches(one.grid, 0)
    mask = read_volume(OutputFolder(target).mask_path("a")).data
    assert np.array_equal(mask > 0, both.data >= 0.5)
    row = read_csv(target / "patient_scores.csv", ("case_id", "score"))[0]
    assert float(row["score"]) == pytest.approx(share * 0.2 + (1 - share) * 0.6, abs=1e-5)
    assert float(row["runtime_s"]) == 4.0
    stored = [OutputFolder(folder).marker("a") for folder in folders]
    slices = np.array([marker.slice_scores for marker in stored if marker])
    assert np.allclose(markers[0].slice_scores, [share, 1 - share] @ slices, atol=1e-5)
    record = read_json(target / RECORD_FILE)
    assert [each["weight"] for each in record["members"]] == [share, 1 - share]


def test_a_case_that_a_member_lacks_fails_alone(folders: tuple[Path, Path], tmp_path: Path) -> None:
    deliver(folders[0], "lonely", np.zeros(_GRID.shape), 0.1)
    markers = ensemble_folders(folders, tmp_path / "both")
    assert [bool(marker.failure) for marker in markers] == [False, False, True]
    failed = read_csv(tmp_path / "both" / "failed_cases.csv", ("case_id", "message"))
    assert failed[0]["case_id"] == "lonely"
    assert "second" in failed[0]["message"]


def test_the_second_run_keeps_what_is_there(folders: tuple[Path, Path], tmp_path: Path) -> None:
    target = tmp_path / "both"
    seen: list[float] = []

    def watch(_stage: str, _total: int, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        for outcome in outcomes:
            seen.append(outcome.seconds)
            yield outcome

    ensemble_folders(folders, target, watch=watch)
    ensemble_folders(folders, target, watch=watch)
    ensemble_folders(folders, target, (2.0, 1.0), watch=watch)
    assert [seconds > 0 for seconds in seen] == [True, True, False, False, True, True]


def test_small_components_can_be_dropped(folders: tuple[Path, Path], tmp_path: Path) -> None:
    markers = ensemble_folders(folders, tmp_path / "both", minimum_mm3=1e6)
    assert {marker.row["anomalous_volume_mm3"] for marker in markers} == {0.0}


def test_other_grids_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    path = OutputFolder(folders[1]).map_path("b")
    moved = Grid(_GRID.shape, np.diag([-1.0, 2.0, 4.0, 1.0]))
    write_volume(path, Volume(np.zeros(moved.shape, dtype=np.float32), moved))
    markers = ensemble_folders(folders, tmp_path / "both")
    assert markers[1].failure is not None
    assert "another grid" in markers[1].failure["message"]


def test_wrong_calls_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="1 folder"):
        ensemble_folders(folders[:1], tmp_path / "both")
    with pytest.raises(UsageError, match="3 weights for 2"):
        ensemble_folders(folders, tmp_path / "both", (1.0, 1.0, 1.0))
    with pytest.raises(UsageError, match="is the output folder"):
        ensemble_folders(folders, folders[0])
    shutil.rmtree(folders[1])
    with pytest.raises(UsageError, match="no predictions"):
        ensemble_folders(folders, tmp_path / "both")
