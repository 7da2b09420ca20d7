from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from brainad.errors import UsageError
from brainad.files import read_json, write_json
from brainad.method import Scope
from brainad.pipeline.dataset import FINGERPRINT_FILE, PLAN_FILE, DatasetWork
from brainad.pipeline.sources import (
    model_from_folder,
    model_from_plan,
    model_of_dataset,
    model_planned_here,
)
from brainad.plan import Fingerprint, Resources, from_table


@pytest.fixture(scope="module")
def fingerprint(phantom_work: DatasetWork) -> Fingerprint:
    path = phantom_work.derived / FINGERPRINT_FILE
    return from_table(Fingerprint, read_json(path), str(path))


def test_a_stored_model_answers_whatever_the_data_look_like(
    phantom_bank: Path, resources: Resources, fingerprint: Fingerprint
) -> None:
    choose = model_from_folder(phantom_bank, resources)
    assert choose(fingerprint) is choose(fingerprint)
    assert choose(fingerprint).method.scope is Scope.CASE


def test_a_folder_without_a_model_is_refused(resources: Resources, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        model_from_folder(tmp_path, resources)
    assert str(tmp_path) in caught.value.where
    assert "brainad_build_bank" in caught.value.fix


def test_the_plan_of_a_dataset_is_used_as_it_is(
    phantom_work: DatasetWork, resources: Resources, fingerprint: Fingerprint
) -> None:
    model = model_from_plan(phantom_work.derived / PLAN_FILE, "codegraph3d", resources)(fingerprint)
    assert model.method.scope is Scope.COHORT
    assert model.plan.dataset_name == phantom_work.raw.name
    with pytest.raises(UsageError, match="there is no plan"):
        model_from_plan(phantom_work.derived / "absent.json", None, resources)


def test_the_default_configuration_of_the_plan_is_named(
    phantom_work: DatasetWork,
    resources: Resources,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = read_json(phantom_work.derived / PLAN_FILE)
    path = tmp_path / PLAN_FILE
    write_json(path, {**table, "default_configuration": "codegraph3d"})
    with caplog.at_level("INFO", "brainad"):
        model_from_plan(path, None, resources)
        model_of_dataset(tmp_path, tmp_path / "results", None, None, resources)
    assert "configuration codegraph3d, the default of the plan" in caplog.text
    assert "configuration = codegraph3d: it is the default of the plan" in caplog.text


def test_a_method_that_learns_must_have_been_trained(
    phantom_work: DatasetWork, resources: Resources, tmp_path: Path
) -> None:
    results = tmp_path / "Dataset501_Phantoms"
    with pytest.raises(UsageError, match="anyad was not trained on Dataset501_Phantoms") as caught:
        model_of_dataset(phantom_work.derived, results, "anyad", None, resources)
    assert "brainad_train Dataset501_Phantoms anyad" in caught.value.fix
    assert "-c codegraph3d" in caught.value.fix


def test_scans_without_a_model_get_a_plan_that_is_kept(
    resources: Resources,
    fingerprint: Fingerprint,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    planned_quickly: None,  # noqa: ARG001
) -> None:
    path = tmp_path / "out" / "plans.json"
    choose = model_planned_here(path, "scans", "codegraph3d", resources)
    assert not path.exists()
    with caplog.at_level("INFO", "brainad"):
        first = choose(fingerprint)
    assert "plan: registration = none" in caplog.text
    assert first.plan.dataset_name == "scans"
    edited = read_json(path)
    edited["configurations"]["codegraph3d"]["radius"] = 2
    write_json(path, edited)
    assert choose(fingerprint).model_id != first.model_id
    assert read_json(path) == edited
    shutil.rmtree(path.parent)
    assert choose(fingerprint).model_id == first.model_id
