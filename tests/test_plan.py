from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from brainad.errors import UsageError
from brainad.plan import CaseFingerprint, Fingerprint, MethodPlan, Plan, from_table, to_table

CASE = CaseFingerprint(
    case_id="a",
    patient_id="p",
    channels=("T1",),
    shape=(10, 20, 30),
    spacing_mm=(1.0, 1.1, 1.2),
    orientation="LPS",
    extent_mm=(10.0, 22.0, 36.0),
    brain_fraction=1 / 3,
    brain_range_mm=((-1.0, 1.0), (-2.0, 2.0), (-3.0, 3.0)),
    percentiles={"T1": (0.0, 1.0, 2.0, 3.0, 4.0)},
    skull_stripped=True,
    in_template_space=False,
    label="unknown",
    label_level="none",
    slice_labels=(0, 0),
    labelled_plane=None,
    content_hash="f" * 64,
)
FINGERPRINT = Fingerprint(
    format_version=1,
    created_by="brainad 0",
    input_hash="0",
    cases=(CASE, replace(CASE, case_id="b")),
    channel_coverage={"T1": 1.0},
    label_counts={"healthy": 0, "unhealthy": 0, "unknown": 2},
    label_level="none",
    slice_label_counts=(0, 0),
    skull_stripped_share=1.0,
    template_share=0.0,
)


def changed(table: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(table))
    place = copy
    *parents, last = path.split(".")
    for parent in parents:
        place = place[parent]
    place[last] = value
    return copy


def test_a_plan_survives_json(plan: Plan) -> None:
    text = json.dumps(to_table(plan))
    back = from_table(Plan, json.loads(text), "plans.json")
    assert back == plan
    assert json.dumps(to_table(back)) == text


def test_a_fingerprint_survives_json_to_the_last_digit() -> None:
    table = json.loads(json.dumps(to_table(FINGERPRINT)))
    assert from_table(Fingerprint, table, "dataset_fingerprint.json") == FINGERPRINT


def test_an_unknown_key_is_refused_and_the_known_ones_are_listed(plan: Plan) -> None:
    table = changed(to_table(plan), "preprocessing.spacing", 1.0)
    with pytest.raises(UsageError, match=r"preprocessing\.spacing: Unexpected") as caught:
        from_table(Plan, table, "plans.json")
    assert caught.value.where == "plans.json"
    assert "default_configuration, preprocessing" in caught.value.fix


def test_a_missing_key_is_refused(plan: Plan) -> None:
    table = to_table(plan)
    del table["preprocessing"]["spacing_mm"]
    with pytest.raises(UsageError, match=r"preprocessing.spacing_mm: Field required"):
        from_table(Plan, table, "plans.json")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("preprocessing.registration", "elastic"),
        ("preprocessing.slice_axis", 3),
        ("preprocessing.working_shape", [14, 14]),
        ("preprocessing.spacing_mm", "fine"),
        ("preprocessing.bias_field", None),
        ("preprocessing.landmarks", [1, 2]),
        ("reasons", "because"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(plan: Plan, path: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"not a valid Plan: {path}"):
        from_table(Plan, changed(to_table(plan), path, value), "plans.json")


def test_all_problems_are_listed_at_once(plan: Plan) -> None:
    table = changed(to_table(plan), "preprocessing.slice_axis", 3)
    table = changed(table, "reasons", 1)
    table["more"] = 1
    with pytest.raises(UsageError) as caught:
        from_table(Plan, table, "plans.json")
    assert caught.value.what.count(";") == 2
    for path in ("preprocessing.slice_axis", "reasons", "more"):
        assert path in caught.value.what


@pytest.mark.parametrize("table", [None, [], "text", 3])
def test_anything_but_an_object_is_refused(table: Any) -> None:
    with pytest.raises(UsageError, match="not a valid MethodPlan: file"):
        from_table(MethodPlan, table, "plans.json")
