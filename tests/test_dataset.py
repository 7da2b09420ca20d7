from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from brainad.dataset import read_dataset
from brainad.errors import UsageError


def make(parent: Path, images: list[str], labels: list[str] | None = None, **keys: Any) -> Path:
    folder = parent / "Dataset501_Heads"
    for place, names in (("imagesTr", images), ("labelsTr", labels or [])):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / place / name).touch()
    content = {
        "channel_names": {"0": "FLAIR", "1": "T1"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": 2,
        "file_ending": ".nii.gz",
        **keys,
    }
    (folder / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def write(folder: Path, name: str, *lines: str) -> None:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_dataset_as_other_programs_know_it(tmp_path: Path) -> None:
    folder = make(
        tmp_path,
        ["a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz"],
        ["a.nii.gz", "b.nii.gz"],
    )
    found = read_dataset(folder)
    assert found.name == "Dataset501_Heads"
    assert [case.case_id for case in found.cases] == ["a", "b"]
    assert found.cases[0].images["T1"] == folder / "imagesTr" / "a_0001.nii.gz"
    assert found.cases[0].reference == "T1"
    assert found.cases[0].patient_id == "a"
    assert found.cases[0].labels.mask == folder / "labelsTr" / "a.nii.gz"
    assert found.cases[0].labels.label == "unknown"
    assert found.required_channels == ("FLAIR", "T1")
    assert found.warnings == ()
    assert found.failures == {}


def test_missing_channels_and_healthy_cases_without_masks(tmp_path: Path) -> None:
    folder = make(
        tmp_path,
        ["a_0000.nii.gz", "b_0001.nii.gz"],
        ["a.nii.gz"],
        brainad={"required_channels": []},
    )
    write(folder, "cases.csv", "case_id,label,patient_id", "b,healthy,person7")
    found = read_dataset(folder)
    assert [sorted(case.images) for case in found.cases] == [["FLAIR"], ["T1"]]
    assert found.cases[1].labels.mask is None
    assert found.cases[1].labels.label == "healthy"
    assert found.cases[1].patient_id == "person7"
    assert found.required_channels == ()


def test_case_table_keeps_unknown_columns_and_subsets(tmp_path: Path) -> None:
    folder = make(tmp_path, ["a_0000.nii.gz", "b_0000.nii.gz"])
    write(
        folder,
        "cases.csv",
        "case_id,label,subset,patient_id,coil",
        "a,unhealthy,train,p1,8ch",
        "b,,test,p1,32ch",
        "c,healthy,test,p2,8ch",
    )
    found = read_dataset(folder)
    assert found.table["b"]["coil"] == "32ch"
    assert found.test_case_ids == {"b", "c"}
    assert found.patients == {"a": "p1", "b": "p1", "c": "p2"}
    assert found.warnings == ()


def test_slice_table(tmp_path: Path) -> None:
    folder = make(tmp_path, ["a_0000.nii.gz", "b_0000.nii.gz"])
    write(
        folder,
        "slices.csv",
        "case_id,axis,slice_index,label",
        "a,2,10,healthy",
        "a,2,11,unhealthy",
        "b,0,3,1",
    )
    first, second = read_dataset(folder).cases
    assert first.labels.slices == {10: False, 11: True}
    assert first.labels.slice_axis == 2
    assert second.labels.slices == {3: True}
    assert second.labels.slice_axis == 0


def test_a_case_with_labelled_slices_travels_to_worker_processes(tmp_path: Path) -> None:
    folder = make(tmp_path, ["a_0000.nii.gz"])
    write(folder, "slices.csv", "case_id,axis,slice_index,label", "a,2,7,1", "a,2,3,0")
    (case,) = read_dataset(folder).cases
    assert case.labels.slices == {7: True, 3: False}
    assert pickle.loads(pickle.dumps(case)) == case  # noqa: S301


def test_tables_may_have_other_names(tmp_path: Path) -> None:
    folder = make(tmp_path, ["a_0000.nii.gz", "b_0000.nii.gz"], brainad={"case_table": "truth.csv"})
    write(folder, "truth.csv", "case_id,label", "a,unhealthy")
    assert read_dataset(folder).cases[0].labels.label == "unhealthy"


def test_a_table_whose_name_no_file_can_have_is_not_there(tmp_path: Path) -> None:
    tables = {"case_table": "x" * 5000, "slice_table": "y" * 5000}
    dataset = read_dataset(make(tmp_path, ["a_0000.nii.gz"], brainad=tables))
    assert [case.labels.label for case in dataset.cases] == ["unknown"]


def test_what_does_not_fit_together_is_said(tmp_path: Path) -> None:
    folder = make(tmp_path, ["a_0000.nii.gz", "odd.nii.gz"], ["z.nii.gz"])
    write(folder, "cases.csv", "case_id,label", "y,healthy")
    write(folder, "slices.csv", "case_id,axis,slice_index,label", "x,2,1,1")
    found = read_dataset(folder)
    text = " | ".join(found.warnings)
    assert "odd.nii.gz" in text
    assert "numTraining is 2, but 1 cases" in text
    assert "labelsTr names 1 cases that have no images, e.g. z" in text
    assert "cases.csv names 1 cases that have no images, e.g. y" in text
    assert "slices.csv names 1 cases that have no images, e.g. x" in text


def test_explicit_list_of_files(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    folder = make(
        tmp_path,
        [],
        dataset={
            "a": {"images": ["pool/a_flair.nii.gz", "$DATA/a_t1.nii.gz"], "label": "pool/a.nii"},
            "b": {"images": [None, str(elsewhere / "b.nii.gz")]},
        },
    )
    first, second = read_dataset(folder, {"DATA": str(elsewhere)}).cases
    assert first.images == {
        "FLAIR": folder / "pool" / "a_flair.nii.gz",
        "T1": elsewhere / "a_t1.nii.gz",
    }
    assert first.labels.mask == folder / "pool" / "a.nii"
    assert second.images == {"T1": elsewhere / "b.nii.gz"}


@pytest.mark.parametrize("entry", [["a.nii.gz"], {"images": ["1", "2", "3"]}, {"images": [None]}])
def test_wrong_explicit_entries(tmp_path: Path, entry: Any) -> None:
    folder = make(tmp_path, [], dataset={"a": entry})
    with pytest.raises(UsageError, match="'a'"):
        read_dataset(folder)


def test_two_files_for_one_channel_fail_their_case_alone(tmp_path: Path) -> None:
    folder = make(tmp_path, ["a_0000.nii.gz", "a_0000.nii", "b_0000.nii.gz"])
    found = read_dataset(folder)
    assert [case.case_id for case in found.cases] == ["b"]
    assert list(found.failures) == ["a"]


def test_folders_without_dataset_or_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not found"):
        read_dataset(tmp_path)
    with pytest.raises(UsageError, match="no cases"):
        read_dataset(make(tmp_path, []))
