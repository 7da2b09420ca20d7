from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from brainad.case import Case, Labels, Supervision


def test_outputs_lie_on_the_grid_of_a_channel_that_exists() -> None:
    images = {"T1": Path("a_T1.nii.gz"), "T2": Path("a_T2.nii.gz")}
    assert Case("a", "a", images, "T2").images["T2"].name == "a_T2.nii.gz"
    with pytest.raises(ValueError, match=r"reference FLAIR is not among \['T1', 'T2'\]"):
        Case("a", "a", images, "FLAIR")
    with pytest.raises(ValueError, match="reference"):
        Case("a", "a", {}, "T1")


def test_nothing_is_known_about_a_case_unless_it_is_said() -> None:
    labels = Case("a", "a", {"T1": Path("a")}, "T1").labels
    assert labels == Labels("unknown", None, {}, None)


def test_a_case_travels_to_worker_processes() -> None:
    case = Case("a", "a", {"T1": Path("a")}, "T1")
    assert pickle.loads(pickle.dumps(case)) == case  # noqa: S301


def test_levels_of_supervision_are_plain_words_in_files() -> None:
    assert [str(level) for level in Supervision] == ["none", "normal", "slice", "voxel"]
    assert Supervision("slice") is Supervision.SLICE
