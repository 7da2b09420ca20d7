from __future__ import annotations

import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brainad.errors import UsageError
from brainad.files import read_json, write_json
from brainad.method import EncodingMethod, Scope
from brainad.pipeline.dataset import PLAN_FILE, DatasetWork
from brainad.pipeline.model import (
    build_method,
    open_model,
    training_free_model,
    with_own_threshold,
)
from brainad.pipeline.planning import read_plan
from brainad.plan import Plan, Resources
from brainad.prediction import Calibration


@pytest.fixture
def planned(phantom_work: DatasetWork) -> Plan:
    return read_plan(phantom_work.derived / PLAN_FILE)


def edited(plan: Plan, **settings: Any) -> Plan:
    own = {**plan.configurations["codegraph3d"], **settings}
    return replace(plan, configurations={**plan.configurations, "codegraph3d": own})


def test_a_method_is_built_as_planned(planned: Plan, resources: Resources) -> None:
    model = training_free_model(planned, "codegraph3d", resources)
    assert model.method.scope is Scope.COHORT
    assert model.method.channels == ("T2",)
    assert model.calibration is None
    assert model.spec.name == model.configuration == "codegraph3d"


def test_settings_identify_the_model_and_reasons_of_preprocessing_do_not(
    planned: Plan, resources: Resources
) -> None:
    same = replace(planned, reasons=("others",), dataset_name="other")
    other = edited(planned, nearest_share=[0.0, 0.5])
    first, again, changed = (
        training_free_model(plan, "codegraph3d", resources).model_id
        for plan in (planned, same, other)
    )
    assert first == again != changed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"radius": "far"}, "not a valid CoDeGraph3DPlan: radius"),
        ({"colour": "red"}, "colour: Unexpected keyword"),
        ({"layers": [9]}, r"layers \[9\] of encoder tiny, which has 4"),
        ({"encoder": "dinov2_vitg14"}, "no weights found for encoder dinov2_vitg14"),
    ],
)
def test_settings_that_are_not_valid_are_named(
    planned: Plan, resources: Resources, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        build_method(edited(planned, **settings), "codegraph3d", resources)
    assert caught.value.fix


def test_a_configuration_must_be_in_the_plan(planned: Plan, resources: Resources) -> None:
    empty = replace(planned, configurations={"other": {}})
    with pytest.raises(UsageError, match="has no configuration 'codegraph3d', only 'other'"):
        build_method(empty, "codegraph3d", resources)
    with pytest.raises(UsageError, match="no configuration '2d'"):
        build_method(planned, "2d", resources)


def test_a_configuration_cuts_the_slices_that_are_labelled(
    planned: Plan, resources: Resources
) -> None:
    other = replace(planned, configurations={"anyad": {"slice_axis": 0}})
    with pytest.raises(UsageError, match=r"anyad count along axis 0, .* along axis 2"):
        build_method(other, "anyad", resources)


def test_a_plan_without_its_own_default_is_refused(planned: Plan, resources: Resources) -> None:
    lacking = replace(planned, configurations={"\ud800": {}})
    with pytest.raises(UsageError, match="has no configuration 'codegraph3d'") as caught:
        training_free_model(lacking, "codegraph3d", resources)
    assert str(caught.value).encode()


def test_a_stored_model_comes_back_with_its_thresholds(
    phantom_bank: Path, resources: Resources
) -> None:
    model = open_model(phantom_bank, resources)
    assert model.method.scope is Scope.CASE
    assert model.calibration is not None
    assert len(model.calibration.healthy_scores) == 5
    assert open_model(phantom_bank, resources).model_id == model.model_id


def test_a_changed_model_is_refused(
    phantom_bank: Path, resources: Resources, tmp_path: Path
) -> None:
    for path in phantom_bank.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    table = read_json(tmp_path / "plans.json")
    write_json(tmp_path / "plans.json", json.loads(json.dumps({**table, "dataset_name": "x"})))
    with pytest.raises(UsageError, match=r"plans.json does not match its SHA-256"):
        open_model(tmp_path, resources)


@pytest.mark.parametrize("stored", [False, True])
def test_a_worker_that_sees_other_weights_is_refused(
    planned: Plan, phantom_bank: Path, resources: Resources, stored: bool
) -> None:
    model = (
        open_model(phantom_bank, resources)
        if stored
        else training_free_model(planned, "codegraph3d", resources)
    )
    assert isinstance(model.method, EncodingMethod)
    assert model.recipe.encoding_key == model.method.encoding_key
    make, arguments = model.__reduce__()
    assert make(*arguments).recipe == model.recipe
    other = replace(model, recipe=replace(model.recipe, encoding_key="of other weights"))
    make, arguments = other.__reduce__()
    with pytest.raises(UsageError, match=f"on {platform.node()} sees other") as caught:
        make(*arguments)
    assert caught.value.where == str(resources.weights)


def test_a_method_may_bring_its_own_map_threshold(planned: Plan, resources: Resources) -> None:
    spec = training_free_model(planned, "codegraph3d", resources).spec
    chosen = Calibration(2.0, 3.0, "7 cases", (1.0,))
    assert with_own_threshold(chosen, spec) == chosen
    own = with_own_threshold(chosen, replace(spec, map_threshold=0.5))
    assert (own.map_threshold, own.patient_threshold) == (0.5, 3.0)
    assert own.healthy_scores == chosen.healthy_scores
    assert own.source == "7 cases; maps at the method's own threshold 0.5"
