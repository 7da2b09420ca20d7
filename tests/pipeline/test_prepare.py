from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainad.case import Case, PreparedCase
from brainad.errors import DataError
from brainad.pipeline import prepare as prepare_module
from brainad.pipeline.executors import InProcess
from brainad.pipeline.prepare import Preparer, planned_case
from brainad.plan import PreprocessingPlan
from brainad.prepared import PreparedFolder
from brainad.preprocessing.prepare import Preparation
from brainad.volume import Volume

PLAN = PreprocessingPlan(
    channels=("FLAIR", "T1"),
    brain_mask="per-case",
    bias_field=False,
    coregister=False,
    registration="none",
    template="mni152",
    working_shape=(14, 14, 14),
    spacing_mm=4.0,
    landmarks={},
    slice_axis=2,
)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    files = {name: tmp_path / f"a_{name}.nii.gz" for name in ("T1", "FLAIR", "T2")}
    for path in files.values():
        path.touch()
    return Case("a", "a", files, "T1")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, prepared_case: PreparedCase) -> list[tuple[Any, ...]]:
    """Note what is prepared, and from which source the brain comes; nothing is computed."""
    seen = []

    def prepare(case_id: str, volumes: Any, reference: str, *others: Any) -> Preparation:
        seen.append((case_id, tuple(volumes), reference, others[1]))
        images = dict.fromkeys(volumes, prepared_case.images["T1"])
        made = replace(prepared_case, case_id=case_id, images=images)
        return Preparation(made, ("tilted",), {"overlap": 0.9})

    def read(_path: Path) -> Volume:
        return Volume(np.zeros((9, 8, 3), dtype=np.float32), prepared_case.placement.native)

    monkeypatch.setattr(prepare_module, "prepare_case", prepare)
    monkeypatch.setattr(prepare_module, "read_volume", read)
    return seen


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Preparer]:
    def preparer(**changes: Any) -> Preparer:
        made = Preparer(PLAN, PreparedFolder(tmp_path / "prepared"), ("FLAIR",), "cpu", {"a": True})
        return replace(made, **changes)

    return preparer


def test_the_first_planned_channel_that_is_usable_leads(case: Case) -> None:
    assert planned_case(case, ("T1", "T2", "FLAIR"), PLAN).reference == "FLAIR"
    kept = planned_case(case, ("T1", "T2"), PLAN)
    assert (list(kept.images), kept.reference) == (["T1"], "T1")
    with pytest.raises(DataError, match="the plan prepares FLAIR, T1; usable are T2") as caught:
        planned_case(case, ("T2",), PLAN)
    assert caught.value.where == "case a"


def test_a_prepared_case_is_kept_with_its_warnings_and_figures(
    case: Case, calls: list[tuple[Any, ...]], make: Callable[..., Preparer]
) -> None:
    planned = planned_case(case, ("T1", "FLAIR"), PLAN)
    preparer = make()
    (outcome,) = preparer.prepare([planned], InProcess())
    assert (outcome.case_id, outcome.failure) == ("a", None)
    assert calls == [("a", ("FLAIR",), "FLAIR", "nonzero")]
    record = preparer.prepared.record("a")
    assert record is not None
    assert (record.channels, record.warnings) == (("FLAIR",), ("tilted",))
    assert record.measures["overlap"] == 0.9
    assert record.measures["total_s"] > 0
    assert [each.seconds for each in preparer.prepare([planned], InProcess())] == [0.0]
    assert len(calls) == 1


def test_another_channel_for_another_method_is_prepared_too(
    case: Case, calls: list[tuple[Any, ...]], make: Callable[..., Preparer]
) -> None:
    planned = planned_case(case, ("T1", "FLAIR"), PLAN)
    list(make().prepare([planned], InProcess()))
    list(make(channels=("T1",)).prepare([planned], InProcess()))
    list(make().prepare([planned], InProcess()))
    assert [channels for _, channels, *_ in calls] == [("FLAIR",), ("FLAIR", "T1")]


def test_what_changed_is_prepared_again_and_the_log_says_so(
    case: Case,
    calls: list[tuple[Any, ...]],
    make: Callable[..., Preparer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    planned = planned_case(case, ("FLAIR",), PLAN)
    with caplog.at_level("INFO", "brainad"):
        list(make().prepare([planned], InProcess()))
        assert "again" not in caplog.text
        list(make(plan=replace(PLAN, spacing_mm=3.0)).prepare([planned], InProcess()))
        assert "1 cases are prepared again, e.g. a: plan changed" in caplog.text
        os.utime(case.images["FLAIR"], (1, 1))
        list(make(plan=replace(PLAN, spacing_mm=3.0)).prepare([planned], InProcess()))
    assert len(calls) == 3


def test_the_slicing_axis_does_not_change_what_is_prepared(
    case: Case, make: Callable[..., Preparer]
) -> None:
    planned = planned_case(case, ("FLAIR",), PLAN)
    other = make(plan=replace(PLAN, slice_axis=0))
    assert make().key(planned) == other.key(planned)
    assert make().key(planned) != make(plan=replace(PLAN, bias_field=True)).key(planned)


@pytest.mark.parametrize(
    ("brain_mask", "stripped", "source"),
    [
        ("per-case", True, "nonzero"),
        ("per-case", False, "hd-bet"),
        ("nonzero", False, "nonzero"),
        ("hd-bet", True, "hd-bet"),
    ],
)
def test_the_brain_comes_from_where_the_plan_says(
    case: Case,
    calls: list[tuple[Any, ...]],
    make: Callable[..., Preparer],
    brain_mask: Any,
    stripped: bool,
    source: str,
) -> None:
    plan = replace(PLAN, brain_mask=brain_mask)
    preparer = make(plan=plan, stripped={"a": stripped})
    list(preparer.prepare([planned_case(case, ("FLAIR",), PLAN)], InProcess()))
    assert calls[0][3] == source


def test_what_a_dataset_has_prepared_is_borrowed_if_it_fits(
    case: Case,
    calls: list[tuple[Any, ...]],
    make: Callable[..., Preparer],
    tmp_path: Path,
) -> None:
    planned = planned_case(case, ("FLAIR",), PLAN)
    list(make().prepare([planned], InProcess()))
    borrowed = PreparedFolder(tmp_path / "prepared")
    mine = make(prepared=PreparedFolder(tmp_path / "mine"), borrowed=borrowed)
    list(mine.prepare([planned], InProcess()))
    assert len(calls) == 1
    assert mine.prepared.record("a") == borrowed.record("a")
    assert np.array_equal(mine.prepared.read("a").brain, borrowed.read("a").brain)
    other = replace(mine, plan=replace(PLAN, spacing_mm=3.0))
    list(other.prepare([planned], InProcess()))
    assert len(calls) == 2
