from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from brainad.errors import DataError, UsageError
from brainad.input_folder import find_cases, make_case


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def channels(folder: Path, **options: dict[int, str] | dict[str, str]) -> dict[str, list[str]]:
    found = find_cases(folder, **options)  # type: ignore[arg-type]
    return {case.case_id: sorted(case.images) for case in found.cases}


def test_numbers_take_names_from_the_model(tmp_path: Path) -> None:
    touch(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz", "b_0001.nii")
    assert channels(tmp_path, channel_names={0: "T1", 1: "FLAIR"}) == {
        "a": ["FLAIR", "T1"],
        "b": ["FLAIR"],
    }


@pytest.mark.parametrize("place", [".", ".."])
def test_numbers_take_names_from_a_dataset_file(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "imagesTs"
    touch(folder, "a_0000.nii.gz")
    content = {"channel_names": {"0": "T2w"}, "labels": {"background": 0}}
    (folder / place / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    assert channels(folder) == channels(folder, channel_names={0: "T1"}) == {"a": ["T2"]}
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "scans"
    link.symlink_to(folder)
    assert channels(link) == {"a": ["T2"]}


def test_numbers_without_names_are_not_guessed(tmp_path: Path) -> None:
    touch(tmp_path, "a_0000.nii.gz", "a_0003.nii.gz")
    found = find_cases(tmp_path)
    assert sorted(found.cases[0].images) == ["CHANNEL0", "CHANNEL3"]
    assert len(found.warnings) == 2
    assert "--channel_map T1=_0003" in found.warnings[1]


def test_channel_map(tmp_path: Path) -> None:
    touch(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz")
    assert channels(tmp_path, channel_map={"flair": "_0000", "T1w": "_0001.nii.gz"}) == {
        "a": ["FLAIR", "T1"]
    }


def test_words_in_flat_folders(tmp_path: Path) -> None:
    touch(tmp_path, "a_FLAIR.nii.gz", "a-t2w.nii", "b.T1w.nii.gz", "readme.txt", ".DS_Store")
    found = find_cases(tmp_path)
    assert {c.case_id: sorted(c.images) for c in found.cases} == {"a": ["FLAIR", "T2"], "b": ["T1"]}
    assert found.unmatched == ()
    assert found.warnings == ()


def test_one_folder_per_case(tmp_path: Path) -> None:
    touch(tmp_path, "p1/FLAIR.nii.gz", "p1/T1.nii.gz", "p2/scan_FLAIR.nii.gz", "p3/p3-t1c.nii.gz")
    assert channels(tmp_path) == {"p1": ["FLAIR", "T1"], "p2": ["FLAIR"], "p3": ["T1CE"]}


def test_several_cases_in_one_subfolder_keep_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "site/a_T1.nii.gz", "site/b_T1.nii.gz")
    assert channels(tmp_path) == {"a": ["T1"], "b": ["T1"]}


def test_bids(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "participants.tsv",
        "dataset_description.json",
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.json",
        "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz",
        "sub-02/anat/sub-02_FLAIR.nii.gz",
    )
    found = find_cases(tmp_path)
    assert [(case.case_id, case.patient_id) for case in found.cases] == [
        ("sub-01_ses-1", "sub-01"),
        ("sub-01_ses-2", "sub-01"),
        ("sub-02", "sub-02"),
    ]


def test_bare_files_are_cases_of_the_only_channel(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "b.nii")
    assert channels(tmp_path, channel_names={0: "T2"}) == {"a": ["T2"], "b": ["T2"]}
    assert channels(tmp_path) == {"a": ["CHANNEL0"], "b": ["CHANNEL0"]}


def test_bare_files_are_ambiguous_with_several_channels(tmp_path: Path) -> None:
    touch(tmp_path, *(f"scan{n}.nii.gz" for n in range(7)))
    with pytest.raises(UsageError, match="no cases") as caught:
        find_cases(tmp_path, {0: "T1", 1: "FLAIR"})
    assert "7 files seen" in caught.value.where
    assert caught.value.where.count("scan") == 5
    assert "CASE_FLAIR.nii.gz" in caught.value.where
    assert "T1, FLAIR" in caught.value.fix


def test_a_bare_mask_beside_named_channels_is_not_a_case(tmp_path: Path) -> None:
    touch(tmp_path, "a_T1.nii.gz", "a_mask.nii.gz")
    found = find_cases(tmp_path)
    assert [case.case_id for case in found.cases] == ["a"]
    assert found.unmatched == (tmp_path / "a_mask.nii.gz",)
    assert "a_mask.nii.gz" in found.warnings[0]


def test_empty_and_absent_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no cases") as caught:
        find_cases(tmp_path)
    assert "0 files seen" in caught.value.where
    with pytest.raises(UsageError, match="no such folder"):
        find_cases(tmp_path / "absent")


def test_a_raw_dataset_is_not_an_input_folder(tmp_path: Path) -> None:
    touch(tmp_path, "dataset.json", "imagesTr/a_0000.nii.gz")
    with pytest.raises(UsageError, match="raw dataset"):
        find_cases(tmp_path)


def test_two_files_for_one_channel_fail_their_case_alone(tmp_path: Path) -> None:
    touch(tmp_path, "a_T1.nii.gz", "a_T1.nii", "b_T1.nii.gz")
    found = find_cases(tmp_path)
    assert [case.case_id for case in found.cases] == ["b"]
    assert list(found.failures) == ["a"]
    assert "a_T1.nii.gz" in found.failures["a"].where
    assert "a_T1.nii," in found.failures["a"].where


def test_links_out_of_the_folder_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "FLAIR.nii.gz")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "p1").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    (folder / "p2_T1.nii.gz").symlink_to(tmp_path / "elsewhere" / "FLAIR.nii.gz")
    assert channels(folder) == {"p1": ["FLAIR"], "p2": ["T1"]}


def test_odd_names(tmp_path: Path) -> None:
    touch(tmp_path, "-rf_T1.nii.gz", "two\nlines_T1.nii.gz")
    assert channels(tmp_path) == {"-rf": ["T1"]}
    ((name, error),) = find_cases(tmp_path).failures.items()
    assert name.startswith("unsafe_two_lines_")
    assert "cannot be part of a file name" in error.what
    assert "\n" not in error.where


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    touch(tmp_path, "a_T1.nii.gz")
    os.mkfifo(tmp_path / "b_T1.nii.gz")
    found = find_cases(tmp_path)
    assert [case.case_id for case in found.cases] == ["a"]
    assert found.failures["b_T1.nii.gz"].what == "neither a file nor a folder"


@pytest.mark.parametrize(("case_id", "channel"), [("../../x", "T1"), ("x", "../../T1")])
def test_names_that_climb_make_no_case(case_id: str, channel: str) -> None:
    with pytest.raises(DataError, match="cannot be part of a file name"):
        make_case(case_id, {channel: Path("f")})


def test_the_interpretation_of_three_cases_is_reported(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}_{channel}.nii.gz" for name in "abcd" for channel in ("T1", "T2")))
    readings = find_cases(tmp_path).readings
    assert [(r.case_id, r.channel) for r in readings] == [
        (name, channel) for name in "abc" for channel in ("T1", "T2")
    ]
    assert readings[0].file == tmp_path / "a_T1.nii.gz"


def test_reference_is_the_most_anatomical_channel() -> None:
    assert make_case("a", {"FLAIR": Path("f"), "T1": Path("t")}).reference == "T1"
    assert make_case("a", {"zscore": Path("f"), "SWI": Path("t")}).reference == "SWI"
    assert make_case("a", {"b": Path("f"), "a": Path("t")}).reference == "a"
