from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from brainad.errors import DataError, UsageError
from brainad.pipeline.cases import Failure, Outcome, Share, unwatched
from brainad.pipeline.dataset import PLAN_FILE, DatasetWork
from brainad.pipeline.folder import FolderOptions, FolderRun, describe_input
from brainad.pipeline.model import Model, training_free_model
from brainad.pipeline.planning import read_plan
from brainad.plan import Resources


@pytest.fixture
def scans(phantom_work: DatasetWork, tmp_path: Path) -> Path:
    """Copy three scans; a fourth case has two files for its channel."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(3):
        source = phantom_work.raw / "imagesTr" / f"phantom_{number:03d}_0000.nii.gz"
        shutil.copy2(source, folder / f"case{number}_T2.nii.gz")
    for name in ("twice_T2.nii.gz", "twice_T2.nii"):
        shutil.copy2(folder / "case0_T2.nii.gz", folder / name)
    return folder


@pytest.fixture
def model(phantom_work: DatasetWork, resources: Resources) -> Model:
    return training_free_model(
        read_plan(phantom_work.derived / PLAN_FILE), "codegraph3d", resources
    )


def make_run(scans: Path, work: Path, **options: object) -> FolderRun:
    return FolderRun(scans, work, FolderOptions(**options), unwatched)  # type: ignore[arg-type]


def test_cases_that_contradict_themselves_are_counted(
    scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run(scans, tmp_path / "work")
    assert run.case_ids == ["case0", "case1", "case2", "twice"]
    assert run.failures["twice"].stage == "find"
    with caplog.at_level("INFO", "brainad"):
        describe_input(run.found)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == f"4 cases in {scans}"
    assert lines[1:4] == [f"  case{n}_T2.nii.gz is channel T2 of case case{n}" for n in range(3)]
    assert lines[4].startswith("case twice cannot be used: 2 files claim to be channel T2")


def test_a_cohort_has_a_smallest_size_and_the_way_out_is_named(
    scans: Path, tmp_path: Path, model: Model
) -> None:
    run = make_run(scans, tmp_path / "work")
    inspection = run.inspect()
    with pytest.raises(UsageError, match=r"^3 usable cases; codegraph3d compares") as caught:
        run.usable_cases(inspection, model)
    assert caught.value.where == str(scans)
    assert "brainad_build_bank" in caught.value.fix
    run.require_enough(model, model.spec.minimum_cases)


def test_a_channel_that_the_method_needs_may_be_missing(
    scans: Path, tmp_path: Path, model: Model
) -> None:
    (scans / "case1_T2.nii.gz").rename(scans / "case1_FLAIR.nii.gz")
    run = make_run(scans, tmp_path / "work")
    with pytest.raises(UsageError, match=r"^2 usable cases"):
        run.usable_cases(run.inspect(), model)
    failure = run.failures["case1"]
    assert failure.message == "channel T2 is missing or empty; usable are FLAIR"
    assert failure.where == "case case1"
    assert "add the T2 file" in failure.fix


def test_without_a_usable_case_the_run_ends(scans: Path, tmp_path: Path) -> None:
    for path in scans.glob("case*"):
        path.write_bytes(b"no scan")
    run = make_run(scans, tmp_path / "work")
    with pytest.raises(DataError, match="none of the 4 cases can be used"):
        run.inspect()
    assert set(run.failures) == set(run.case_ids)


def test_without_a_case_that_has_the_channel_the_run_ends(
    scans: Path, tmp_path: Path, model: Model
) -> None:
    for path in scans.glob("case*_T2.nii.gz"):
        path.rename(path.with_name(path.name.replace("T2", "FLAIR")))
    run = make_run(scans, tmp_path / "work")
    with pytest.raises(DataError, match="none of the 4 cases can be used"):
        run.usable_cases(run.inspect(), model)


def test_overwriting_forgets_this_part_only(scans: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    kinds = {"encodings": "npz", "predictions": "npz", "cases": "json"}
    for kind, ending in kinds.items():
        (work / kind).mkdir(parents=True)
        for number in range(3):
            (work / kind / f"case{number}.{ending}").touch()
    for number in range(3):
        (work / "prepared" / f"case{number}").mkdir(parents=True)
    make_run(scans, work, overwrite=True, share=Share(2, 1)).inspect()
    for kind in kinds:
        assert {path.stem for path in (work / kind).iterdir()} == {"case0", "case2"}
    assert {path.name for path in (work / "prepared").iterdir()} == {"case0", "case2"}


def test_stages_add_up_and_failures_are_noted(scans: Path, tmp_path: Path) -> None:
    failure = Failure("encode", "DataError", "too dark", "a.nii", "scan again")
    outcomes = [Outcome("case0", 2.0), Outcome("case1", 3.0, failure), Outcome("case2", 1.0)]
    run = make_run(scans, tmp_path / "work")
    for stage in ("prepare", "encode"):
        run.follow(stage, 3, outcomes)
    assert run.case_seconds == {"case0": 4.0, "case1": 6.0, "case2": 2.0}
    assert set(run.seconds) == {"prepare", "encode"}
    assert run.failures["case1"] is failure


def test_a_run_may_stop_at_the_first_failure(scans: Path, tmp_path: Path) -> None:
    failure = Failure("encode", "DataError", "too dark", "a.nii", "scan again")
    seen = []

    def outcomes() -> object:
        for name, why in (("case0", failure), ("case1", None)):
            seen.append(name)
            yield Outcome(name, 1.0, why)

    run = make_run(scans, tmp_path / "work", fail_fast=True)
    with pytest.raises(DataError, match="too dark") as caught:
        run.follow("encode", 2, outcomes())  # type: ignore[arg-type]
    assert (caught.value.where, caught.value.fix) == ("a.nii", "scan again")
    assert seen == ["case0"]
