from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brainad.dataset import read_dataset
from brainad.errors import UsageError
from brainad.files import read_csv, read_json, write_csv, write_json, write_text
from brainad.pipeline.cases import Share
from brainad.pipeline.dataset import (
    FINGERPRINT_FILE,
    PLAN_FILE,
    DatasetWork,
    expectations_of,
    verify_dataset,
)
from brainad.plan import Resources, to_table

CASES = ("phantom_000", "phantom_003")


@pytest.fixture
def work(phantom_dataset: Path, tmp_path: Path) -> DatasetWork:
    """Work on a healthy and an ill head."""
    raw = tmp_path / "raw" / phantom_dataset.name
    for place in ("imagesTr", "labelsTr"):
        (raw / place).mkdir(parents=True)
        for path in (phantom_dataset / place).iterdir():
            if path.name.startswith(CASES):
                shutil.copy2(path, raw / place)
    rows = [
        row
        for row in read_csv(phantom_dataset / "cases.csv", ["case_id"])
        if row["case_id"] in CASES
    ]
    write_csv(raw / "cases.csv", list(rows[0]), rows)
    describe(raw, phantom_dataset)
    return DatasetWork(raw, tmp_path / "preprocessed" / raw.name)


def describe(raw: Path, original: Path | None = None, **changes: Any) -> None:
    table = read_json((original or raw) / "dataset.json")
    table.pop("numTraining", None)
    write_json(raw / "dataset.json", {**table, **changes})


def test_what_a_dataset_declares_is_expected_of_its_cases(work: DatasetWork) -> None:
    describe(
        work.raw,
        channel_names={"0": "T2", "1": "FLAIR"},
        labels={"background": 0, "core": 1, "oedema": 2},
        brainad={"required_channels": ["T2"], "anomaly_labels": [1]},
    )
    expected = expectations_of(read_dataset(work.raw))
    assert expected.channels == ("T2", "FLAIR")
    assert expected.required_channels == ("T2",)
    assert expected.label_values == frozenset({0, 1, 2})
    assert expected.anomaly_labels == frozenset({1})


def test_the_fingerprint_is_written_where_data_are_derived(work: DatasetWork) -> None:
    fingerprint = work.fingerprint()
    assert read_json(work.derived / FINGERPRINT_FILE) == to_table(fingerprint)
    assert fingerprint.label_counts == {"healthy": 1, "unhealthy": 1, "unknown": 0}
    assert fingerprint.label_level == "voxel"


def test_declared_facts_stand_above_measured_ones(work: DatasetWork, resources: Resources) -> None:
    describe(work.raw, brainad={"skull_stripped": False, "axis": "coronal"})
    plan = work.plan(resources, 4.0)
    assert plan.preprocessing.brain_mask == "hd-bet"
    assert plan.preprocessing.slice_axis == 1
    assert plan.preprocessing.spacing_mm == 4
    assert any("declared as not skull-stripped" in reason for reason in plan.reasons)


def test_every_kind_of_finding_is_listed_together(
    work: DatasetWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(
        work.raw / "cases.csv",
        "case_id,label,subset,patient_id\n"
        "phantom_000,healthy,train,p\nphantom_003,unhealthy,test,p\n",
    )
    scan = work.raw / "imagesTr" / "phantom_000_0000.nii.gz"
    for name in ("twice_0000.nii.gz", "twice_0000.nii"):
        shutil.copy2(scan, scan.with_name(name))
    describe(work.raw, numTraining=40)
    usage = shutil.disk_usage(work.raw)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    dataset, inspection = work.inspect()
    found = {
        problem.check: problem for problem in verify_dataset(dataset, inspection, work.derived)
    }
    assert set(found) == {"files", "dataset", "patient in train and test", "free disk"}
    assert found["files"].case_id == "twice"
    assert "numTraining is 40" in found["dataset"].message
    assert found["patient in train and test"].case_id == "phantom_003"
    assert found["free disk"].files == (work.derived,)


def test_a_case_without_any_planned_channel_fails_alone(
    work: DatasetWork, resources: Resources
) -> None:
    scan = work.raw / "imagesTr" / "phantom_000_0000.nii.gz"
    shutil.copy2(scan, scan.with_name("other_0001.nii.gz"))
    describe(
        work.raw,
        channel_names={"0": "T2", "1": "FLAIR"},
        brainad={"required_channels": []},
    )
    plan = work.plan(resources, 4.0)
    assert set(plan.preprocessing.channels) == {"T2", "FLAIR"}
    only = replace(plan, preprocessing=replace(plan.preprocessing, channels=("T2",)))
    write_json(work.derived / PLAN_FILE, to_table(only))
    outcomes = {outcome.case_id: outcome.failure for outcome in work.preprocess("cpu", Share())}
    assert set(outcomes) == {*CASES, "other"}
    assert [outcomes[name] for name in CASES] == [None, None]
    failure = outcomes["other"]
    assert failure is not None
    assert failure.message == "the plan prepares T2; usable are FLAIR"
    assert failure.fix


def test_cases_whose_files_contradict_each_other_fail_alone(
    work: DatasetWork, resources: Resources, caplog: pytest.LogCaptureFixture
) -> None:
    scan = work.raw / "imagesTr" / "phantom_000_0000.nii.gz"
    for name in ("twice_0000.nii.gz", "twice_0000.nii"):
        shutil.copy2(scan, scan.with_name(name))
    work.plan(resources, 4.0)
    assert "case twice cannot be used: 2 files claim to be channel T2" in caplog.text
    failures = {o.case_id: o.failure for o in work.preprocess("cpu", Share()) if o.failure}
    assert set(failures) == {"twice"}


def test_without_a_plan_nothing_is_prepared(work: DatasetWork) -> None:
    with pytest.raises(UsageError, match="there is no plan"):
        work.preprocess("cpu", Share())


def test_cleaning_removes_what_was_derived_and_nothing_else(work: DatasetWork) -> None:
    work.fingerprint()
    before = sorted(work.raw.rglob("*"))
    work.clean()
    work.clean()
    assert not work.derived.exists()
    assert sorted(work.raw.rglob("*")) == before
