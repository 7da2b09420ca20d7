from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from brainad.plan import CaseFingerprint
from brainad.preprocessing.cohort import check_cohort, check_disk, check_split

CASE = CaseFingerprint(
    case_id="a",
    patient_id="a",
    channels=("T1",),
    shape=(180, 200, 180),
    spacing_mm=(1.0, 1.0, 1.0),
    orientation="RAS",
    extent_mm=(180.0, 200.0, 180.0),
    brain_fraction=0.2,
    brain_range_mm=((-70.0, 70.0), (-100.0, 70.0), (-70.0, 80.0)),
    percentiles={"T1": (0.0, 1.0, 2.0, 3.0, 4.0)},
    skull_stripped=True,
    in_template_space=True,
    label="unknown",
    label_level="none",
    slice_labels=(0, 0),
    labelled_plane=None,
    content_hash="1",
)


def test_a_uniform_cohort_is_silent() -> None:
    assert check_cohort([CASE, replace(CASE, case_id="b", content_hash="2")]) == []


def test_copies_are_named() -> None:
    (problem,) = check_cohort([CASE, replace(CASE, case_id="b")])
    assert (problem.level, problem.check) == ("warning", "duplicate")
    assert "a, b" in problem.message


def test_mixtures_are_named() -> None:
    other = replace(CASE, case_id="b", content_hash="2", skull_stripped=False, orientation="LPS")
    stripping, orientation = check_cohort([CASE, other])
    assert (stripping.level, stripping.check) == ("warning", "mixed skull stripping")
    assert "1 of 2" in stripping.message
    assert (orientation.level, orientation.check) == ("info", "orientation")
    assert "LPS, RAS" in orientation.message


def test_a_patient_on_both_sides() -> None:
    patients = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
    (problem,) = check_split(patients, frozenset({"a2", "c1"}))
    assert (problem.level, problem.case_id) == ("error", "a2")
    assert check_split(patients, frozenset({"c1"})) == []
    assert check_split(patients, frozenset()) == []


def test_disk() -> None:
    assert check_disk(5e9, 5e9, Path("out")) == []
    (problem,) = check_disk(6e9, 5e9, Path("out"))
    assert problem.level == "error"
    assert "6.0 GB" in problem.message
    assert "5.0 GB" in problem.message
    assert problem.files == (Path("out"),)
