from __future__ import annotations

from pathlib import Path

import pytest

from brainad.naming import Vocabulary, match_name, numbered

NUMBERS = Vocabulary(numbers={0: "FLAIR", 1: "T1CE"})


@pytest.mark.parametrize(
    ("name", "case_id", "channel"),
    [
        ("p1_0000.nii.gz", "p1", "FLAIR"),
        ("p1_0001.nii", "p1", "T1CE"),
        ("p_1_2_0001.NII.GZ", "p_1_2", "T1CE"),
        ("p1_FLAIR.nii.gz", "p1", "FLAIR"),
        ("p1_T2_FLAIR.nii.gz", "p1", "FLAIR"),
        ("BraTS-GLI-00001-000-t2f.nii.gz", "BraTS-GLI-00001-000", "FLAIR"),
        ("BraTS-GLI-00001-000-t2w.nii.gz", "BraTS-GLI-00001-000", "T2"),
        ("p1.T1w.nii.gz", "p1", "T1"),
        ("IXI002-Guys-0828-T1.nii.gz", "IXI002-Guys-0828", "T1"),
        ("FLAIR.nii.gz", "", "FLAIR"),
        ("T2-FLAIR.nii", "", "FLAIR"),
        ("-p1_t1c.nii.gz", "-p1", "T1CE"),
        ("line\nbreak_t1.nii.gz", "line\nbreak", "T1"),
        ("line\nbreak_0000.nii.gz", "line\nbreak", "FLAIR"),
    ],
)
def test_channel_and_case_are_read(name: str, case_id: str, channel: str) -> None:
    found = match_name(Path(name), NUMBERS)
    assert found is not None
    assert (found.case_id, found.channel) == (case_id, channel)


@pytest.mark.parametrize(
    ("name", "case_id", "patient_id", "channel"),
    [
        ("sub-01_ses-02_T1w.nii.gz", "sub-01_ses-02", "sub-01", "T1"),
        ("sub-01_FLAIR.nii.gz", "sub-01", "sub-01", "FLAIR"),
        ("sub-01_acq-tse_T2w.nii.gz", "sub-01", "sub-01", "T2"),
        ("sub-01_ce-gadolinium_T1w.nii.gz", "sub-01", "sub-01", "T1CE"),
    ],
)
def test_bids_names(name: str, case_id: str, patient_id: str, channel: str) -> None:
    found = match_name(Path(name), Vocabulary())
    assert found is not None
    assert (found.case_id, found.patient_id, found.channel) == (case_id, patient_id, channel)


@pytest.mark.parametrize(
    "name", ["p1.nii.gz", "p1_0007.nii.gz", "p1_mask.nii.gz", "p1_T1.png", "p1_set2f.nii.gz"]
)
def test_names_without_a_channel_are_refused(name: str) -> None:
    assert match_name(Path(name), NUMBERS) is None


def test_channel_map_stands_above_numbers_and_words() -> None:
    vocabulary = Vocabulary(numbers={0: "FLAIR"}, endings={"_0000": "T1", "final_t2": "PD"})
    number = match_name(Path("p1_0000.nii.gz"), vocabulary)
    word = match_name(Path("p1_final_t2.nii.gz"), vocabulary)
    assert number is not None
    assert word is not None
    assert (number.case_id, number.channel) == ("p1", "T1")
    assert (word.case_id, word.channel) == ("p1", "PD")


def test_names_of_the_dataset_are_known_words() -> None:
    vocabulary = Vocabulary(numbers={0: "myelin"}, aliases={"spgr": "T1"})
    own = match_name(Path("p1_Myelin.nii.gz"), vocabulary)
    alias = match_name(Path("p1_SPGR.nii.gz"), vocabulary)
    assert own is not None
    assert alias is not None
    assert own.channel == "myelin"
    assert alias.channel == "T1"


def test_numbers_are_read_without_a_vocabulary() -> None:
    assert numbered(Path("a_b_0003.nii.gz")) == ("a_b", 3)
    assert numbered(Path("0003.nii.gz")) == ("", 3)
    assert numbered(Path("a_b_003.nii.gz")) is None
