from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from brainad.case import Case, Labels
from brainad.errors import UsageError
from brainad.pipeline import inspect as inspect_module
from brainad.pipeline.inspect import Inspection, inspect_cases, log_problems
from brainad.preprocessing.integrity import check_case
from brainad.preprocessing.labels import Expectations
from brainad.preprocessing.problem import Problem


@pytest.fixture
def head(phantom_dataset: Path, tmp_path: Path) -> Callable[[str], Case]:
    """Give copies of one healthy head under any name."""
    source = phantom_dataset / "imagesTr" / "phantom_000_0000.nii.gz"

    def make(case_id: str) -> Case:
        path = tmp_path / f"{case_id}.nii.gz"
        shutil.copy2(source, path)
        return Case(case_id, case_id, {"T2": path}, "T2")

    return make


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note which cases are read."""
    seen: list[str] = []

    def check(case: Case, *others: Any) -> Any:
        seen.append(case.case_id)
        return check_case(case, *others)

    monkeypatch.setattr(inspect_module, "check_case", check)
    return seen


def test_cases_are_measured(head: Callable[[str], Case], tmp_path: Path) -> None:
    found = inspect_cases([head("b"), head("a")], tmp_path / "checked")
    assert found.failures == {}
    assert [case.case_id for case in found.fingerprint.cases] == ["a", "b"]
    assert found.fingerprint.channel_coverage == {"T2": 1.0}
    assert found.measured[0].skull_stripped
    assert {path.name for path in (tmp_path / "checked").iterdir()} == {"a.json", "b.json"}


def test_nothing_is_read_twice_unless_it_changed(
    head: Callable[[str], Case], tmp_path: Path, looked_at: list[str]
) -> None:
    cases = [head("a"), head("b")]
    first = inspect_cases(cases, tmp_path / "checked")
    assert inspect_cases(cases, tmp_path / "checked") == first
    assert looked_at == ["a", "b"]
    path = cases[1].images["T2"]
    image = nib.nifti1.load(path)
    nib.save(nib.nifti1.Nifti1Image(np.asarray(image.dataobj) * 2, image.affine), path)
    second = inspect_cases(cases, tmp_path / "checked")
    assert looked_at == ["a", "b", "b"]
    assert second.inputs != first.inputs
    assert second.measured[1].percentiles["T2"][2] == 2 * first.measured[1].percentiles["T2"][2]


def test_a_case_is_read_again_when_more_is_known_about_it(
    head: Callable[[str], Case], tmp_path: Path, looked_at: list[str]
) -> None:
    case = head("a")
    inspect_cases([case], tmp_path / "checked")
    labelled = Case("a", "a", case.images, "T2", Labels("healthy"))
    assert inspect_cases([labelled], tmp_path / "checked").measured[0].label == "healthy"
    assert looked_at == ["a", "a"]


def test_a_case_is_judged_again_when_the_dataset_asks_for_something_else(
    head: Callable[[str], Case], tmp_path: Path
) -> None:
    case, folder = head("a"), tmp_path / "checked"
    strict = Expectations(channels=("T2", "T1"), required_channels=("T2", "T1"))
    refused = inspect_cases([case], folder, strict)
    assert "required channel T1 is missing" in refused.failures["a"].message
    relaxed = Expectations(channels=("T2", "T1"), required_channels=("T2",))
    assert inspect_cases([case], folder, relaxed).failures == {}


@pytest.mark.parametrize("content", ["", "{}", '{"key": 1}'])
def test_a_damaged_finding_is_made_again(
    head: Callable[[str], Case], tmp_path: Path, content: str
) -> None:
    case, folder = head("a"), tmp_path / "checked"
    first = inspect_cases([case], folder)
    (folder / "a.json").write_text(content)
    assert inspect_cases([case], folder) == first


def test_a_bad_case_is_reported_and_kept_out(head: Callable[[str], Case], tmp_path: Path) -> None:
    good, bad = head("good"), head("bad")
    bad.images["T2"].write_bytes(b"no scan")
    for _ in range(2):
        found = inspect_cases([good, bad], tmp_path / "checked")
        assert [case.case_id for case in found.measured] == ["good"]
        failure = found.failures["bad"]
        assert failure.stage == "check"
        assert "not a readable NIfTI file" in failure.message
        assert failure.where == str(bad.images["T2"])
        assert failure.fix
        assert [problem.level for problem in found.problems] == ["error"]


def test_an_unexpected_error_is_not_kept(
    head: Callable[[str], Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, folder = head("a"), tmp_path / "checked"
    with monkeypatch.context() as patch:
        patch.setattr(inspect_module, "measure_case", lambda *_: 1 / 0)
        assert inspect_cases([case], folder).failures["a"].error_type == "ZeroDivisionError"
    assert inspect_cases([case], folder).failures == {}


def test_without_a_usable_case_there_is_no_fingerprint() -> None:
    with pytest.raises(UsageError, match="no readable case"):
        Inspection("0", {}, {}).fingerprint  # noqa: B018


def test_copies_are_noticed(head: Callable[[str], Case], tmp_path: Path) -> None:
    found = inspect_cases([head("a"), head("b")], tmp_path / "checked")
    assert [(problem.check, problem.message) for problem in found.problems] == [
        ("duplicate", "same content: a, b")
    ]


def test_one_cause_does_not_flood_the_screen(caplog: pytest.LogCaptureFixture) -> None:
    problems = [Problem("warning", name, "spacing", f"odd {name}", "") for name in "abcde"]
    with caplog.at_level(logging.INFO):
        log_problems([*problems, Problem("info", "", "orientation", "several", "")])
    assert [record.getMessage() for record in caplog.records] == [
        "case a: odd a",
        "case b: odd b",
        "case c: odd c",
        "... and 2 more of the kind 'spacing'",
        "several",
    ]
    assert [record.levelno for record in caplog.records][-1] == logging.INFO
