from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Literal

import pytest

from brainad.errors import UsageError
from brainad.plan import CaseFingerprint
from brainad.planning.splits import Split, check_splits, make_splits

CASE = CaseFingerprint(
    case_id="",
    patient_id="",
    channels=("T1",),
    shape=(10, 10, 10),
    spacing_mm=(1.0, 1.0, 1.0),
    orientation="RAS",
    extent_mm=(10.0, 10.0, 10.0),
    brain_fraction=0.3,
    brain_range_mm=((0.0, 9.0), (0.0, 9.0), (0.0, 9.0)),
    percentiles={},
    skull_stripped=True,
    in_template_space=True,
    label="unknown",
    label_level="case",
    slice_labels=(0, 0),
    labelled_plane=None,
    content_hash="",
)


def case(name: str, patient: str, label: Literal["healthy", "unhealthy"]) -> CaseFingerprint:
    return replace(CASE, case_id=name, patient_id=patient, label=label)


@pytest.fixture
def cases() -> list[CaseFingerprint]:
    """Twelve healthy people, eight patients with a healthy and an unhealthy examination."""
    healthy = [case(f"h{n}", f"H{n}", "healthy") for n in range(12)]
    first = [case(f"p{n}a", f"P{n}", "healthy") for n in range(8)]
    second = [case(f"p{n}b", f"P{n}", "unhealthy") for n in range(8)]
    return [*healthy, *first, *second]


def test_every_case_is_held_out_once(cases: list[CaseFingerprint]) -> None:
    splits = make_splits(cases)
    assert len(splits) == 5
    held_out = Counter(name for split in splits for name in split.val)
    assert held_out == Counter(c.case_id for c in cases)
    for split in splits:
        assert set(split.train) | set(split.val) == {c.case_id for c in cases}
        assert not set(split.train) & set(split.val)


def test_patients_stay_together_and_labels_are_balanced(cases: list[CaseFingerprint]) -> None:
    splits = make_splits(cases)
    patients = {c.case_id: c.patient_id for c in cases}
    check_splits(splits, patients, "here")
    ill = [len({patients[name] for name in s.val if patients[name][0] == "P"}) for s in splits]
    well = [len({patients[name] for name in s.val if patients[name][0] == "H"}) for s in splits]
    assert (min(ill), max(ill)) == (1, 2)
    assert (min(well), max(well)) == (2, 3)
    assert {i + w for i, w in zip(ill, well, strict=True)} == {4}


def test_folds_depend_on_the_seed_alone(cases: list[CaseFingerprint]) -> None:
    assert make_splits(cases) == make_splits(cases)
    assert make_splits(cases, seed=1) != make_splits(cases)
    held_out = [set(split.val) for split in make_splits(cases)]
    assert [set(split.val) for split in make_splits(cases[::-1])] == held_out


def test_few_patients_make_few_folds(cases: list[CaseFingerprint]) -> None:
    assert [len(split.val) for split in make_splits(cases[:3])] == [1, 1, 1]
    with pytest.raises(UsageError, match="1 patients cannot be split"):
        make_splits(cases[:1])


def test_leaks_and_unknown_cases_are_refused() -> None:
    patients = {"a1": "A", "a2": "A", "b": "B"}
    check_splits([Split(("a1", "a2"), ("b",))], patients, "here")
    with pytest.raises(UsageError, match="trains on and holds out patient A"):
        check_splits([Split(("a1", "b"), ("a2",))], patients, "here")
    with pytest.raises(UsageError, match="not in the dataset: c"):
        check_splits([Split(("a1", "a2"), ("c",))], patients, "here")
