from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest

from brainad.case import Supervision
from brainad.errors import UsageError
from brainad.method import Method, MethodSpec
from brainad.plan import (
    CaseFingerprint,
    Fingerprint,
    MethodPlan,
    Plan,
    PreprocessingPlan,
    Resources,
    from_table,
    to_table,
)
from brainad.planning.planner import PlanningOptions, WorkingSpace, facts_hash, plan_dataset

BOX = ((-72.0, 72.0), (-107.0, 73.0), (-72.0, 82.0))
RESOURCES = Resources("cpu", 8.0, 2, Path("weights"), ("tiny",), 60.0)
SPACE = WorkingSpace("mni152", BOX, {"T1": (0.0, 50.0, 100.0)})
HEAD = CaseFingerprint(
    case_id="a",
    patient_id="a",
    channels=("T1",),
    shape=(182, 218, 182),
    spacing_mm=(1.0, 1.0, 1.0),
    orientation="RAS",
    extent_mm=(182.0, 218.0, 182.0),
    brain_fraction=0.5,
    brain_range_mm=BOX,
    percentiles={"T1": (0.0, 50.0, 80.0, 100.0, 180.0)},
    skull_stripped=False,
    in_template_space=False,
    label="unknown",
    label_level="none",
    slice_labels=(0, 0),
    labelled_plane=None,
    content_hash="1",
)
FINGERPRINT = Fingerprint(
    format_version=1,
    created_by="test",
    input_hash="1",
    cases=(HEAD,),
    channel_coverage={"T1": 1.0},
    label_counts={"healthy": 0, "unhealthy": 0, "unknown": 1},
    label_level="none",
    slice_label_counts=(0, 0),
    skull_stripped_share=0.0,
    template_share=0.0,
)


@dataclass(frozen=True)
class ToyPlan(MethodPlan):
    cases: int
    spacing_mm: float
    threads: int


def plan_toy(
    fingerprint: Fingerprint, preprocessing: PreprocessingPlan, resources: Resources
) -> ToyPlan:
    return ToyPlan(
        seed=1,
        reasons=("toys are simple",),
        cases=len(fingerprint.cases),
        spacing_mm=preprocessing.spacing_mm,
        threads=resources.threads,
    )


def spec(name: str, supervision: Supervision) -> MethodSpec[ToyPlan]:
    # Planning builds nothing.
    constructor = cast(Callable[[ToyPlan, Resources], Method], None)
    return MethodSpec(name, "", "", supervision, 2, ToyPlan, plan_toy, constructor)


SPECS = {
    "codegraph3d": spec("codegraph3d", Supervision.NONE),
    "anyad": spec("anyad", Supervision.NORMAL),
}


def plan(fingerprint: Fingerprint = FINGERPRINT, options: PlanningOptions | None = None) -> Plan:
    return plan_dataset(
        "Dataset501_X", fingerprint, RESOURCES, specs=SPECS, space=SPACE, options=options
    )


def test_raw_heads_without_labels() -> None:
    made = plan()
    assert made.dataset_name == "Dataset501_X"
    assert made.default_configuration == "codegraph3d"
    assert made.preprocessing == PreprocessingPlan(
        channels=("T1",),
        brain_mask="hd-bet",
        bias_field=True,
        coregister=False,
        registration="affine",
        template="mni152",
        working_shape=(168, 196, 168),
        spacing_mm=1.0,
        landmarks={"T1": (0.0, 50.0, 100.0)},
        slice_axis=2,
    )
    assert made.fingerprint_hash == facts_hash(FINGERPRINT, PlanningOptions())
    assert made.fingerprint_hash != facts_hash(FINGERPRINT, PlanningOptions(skull_stripped=True))
    assert made.fingerprint_hash == facts_hash(FINGERPRINT, PlanningOptions(spacing_mm=2.0))


def test_every_decision_has_its_reason() -> None:
    reasons = plan().reasons
    for topic in (
        "channels = T1",
        "brain mask = hd-bet",
        "bias field correction = on",
        "co-registration of channels = off",
        "registration = affine",
        "working grid = 168 x 196 x 168 voxels of 1 mm",
        "slice axis = 2",
        "intensity standardisation = T1",
        "default configuration = codegraph3d",
        "configuration codegraph3d = can run",
        "configuration anyad = cannot run",
    ):
        (reason,) = (text for text in reasons if text.startswith(f"{topic}: "))
        assert len(reason) > len(topic) + 10
    assert "codegraph3d: toys are simple" in reasons


def test_methods_plan_for_themselves_where_labels_allow() -> None:
    assert plan().configurations == {
        "codegraph3d": {
            "seed": 1,
            "reasons": ["toys are simple"],
            "cases": 1,
            "spacing_mm": 1.0,
            "threads": 2,
        }
    }
    healthy = replace(FINGERPRINT, label_level="healthy", label_counts={"healthy": 1})
    made = plan(healthy)
    assert sorted(made.configurations) == ["anyad", "codegraph3d"]
    assert made.default_configuration == "anyad"


def test_stripped_and_registered_data_need_less() -> None:
    ready = replace(
        FINGERPRINT,
        cases=(replace(HEAD, skull_stripped=True, in_template_space=True),),
        skull_stripped_share=1.0,
        template_share=1.0,
    )
    made = plan(ready).preprocessing
    assert (made.brain_mask, made.bias_field, made.registration) == ("nonzero", False, "none")


def test_options_are_inputs_of_the_rules() -> None:
    options = PlanningOptions(skull_stripped=True, slice_axis="coronal", spacing_mm=1.0)
    made = plan(options=options).preprocessing
    assert (made.brain_mask, made.slice_axis, made.spacing_mm) == ("nonzero", 1, 1.0)


def test_planning_is_pure_and_survives_the_file() -> None:
    made = plan()
    assert plan() == made
    read = from_table(Plan, json.loads(json.dumps(to_table(made))), "brainadPlans.json")
    assert read == made


def test_hand_edits_are_honoured_and_slips_are_named() -> None:
    table = to_table(plan())
    table["preprocessing"]["registration"] = "rigid"
    assert from_table(Plan, table, "file").preprocessing.registration == "rigid"
    table["preprocessing"]["registraton"] = "rigid"
    with pytest.raises(UsageError, match="registraton") as caught:
        from_table(Plan, table, "file")
    assert caught.value.where == "file"
