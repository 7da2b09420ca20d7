from __future__ import annotations

import itertools
from dataclasses import replace
from importlib import resources as package_files
from pathlib import Path

import pytest

from brainad import preprocessing
from brainad.errors import UsageError
from brainad.files import read_json, write_json, write_text
from brainad.pipeline.dataset import FINGERPRINT_FILE, DatasetWork
from brainad.pipeline.planning import (
    intensity_reference,
    keep_or_make_plan,
    make_plan,
    read_plan,
)
from brainad.plan import Fingerprint, Plan, Resources, from_table, to_table
from brainad.planning.planner import PlanningOptions


@pytest.fixture(scope="module")
def fingerprint(phantom_work: DatasetWork) -> Fingerprint:
    path = phantom_work.derived / FINGERPRINT_FILE
    return from_table(Fingerprint, read_json(path), str(path))


def test_every_common_contrast_has_rising_standard_intensities() -> None:
    reference = intensity_reference()
    assert {"T1", "T1CE", "T2", "FLAIR"} <= set(reference)
    for values in reference.values():
        assert (values[0], values[-1]) == (0, 100)
        assert all(low < high for low, high in itertools.pairwise(values))


def test_changed_standard_intensities_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(preprocessing.__path__[0]) / "intensity_reference.json"
    table = read_json(path)
    table["landmarks"]["T2"][5] += 1
    write_json(tmp_path / path.name, table)
    monkeypatch.setattr(package_files, "files", lambda _package: tmp_path)
    with pytest.raises(UsageError, match="standard intensities of T2 do not match"):
        intensity_reference()


def test_a_plan_knows_the_template_and_its_reasons(
    fingerprint: Fingerprint, resources: Resources, colin27_brain: Path
) -> None:
    plan = make_plan("mine", fingerprint, resources, PlanningOptions())
    assert plan.dataset_name == "mine"
    assert plan.preprocessing.template == "mni152"
    assert "codegraph3d" in plan.configurations
    other = make_plan("mine", fingerprint, resources, PlanningOptions(), str(colin27_brain))
    assert other.preprocessing.template == str(colin27_brain)
    with pytest.raises(UsageError, match="template cannot be used"):
        make_plan("mine", fingerprint, resources, PlanningOptions(), "absent.nii.gz")


def test_a_plan_is_kept_as_long_as_it_fits(
    fingerprint: Fingerprint,
    resources: Resources,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "deep" / "plan.json"

    def plan(options: PlanningOptions, measured: Fingerprint = fingerprint) -> Plan:
        caplog.clear()
        with caplog.at_level("INFO", "brainad"):
            return keep_or_make_plan(path, "mine", measured, resources, options)

    made = plan(PlanningOptions())
    assert read_plan(path) == made
    edited = replace(made, default_configuration="edited")
    write_json(path, to_table(edited))
    for spacing_mm in (None, made.preprocessing.spacing_mm):
        assert plan(PlanningOptions(spacing_mm=spacing_mm)) == edited
        assert f"using the plan {path}" in caplog.text
    finer = plan(PlanningOptions(spacing_mm=0.7))
    assert finer.preprocessing.spacing_mm == pytest.approx(0.7)
    assert "voxels of 0.7 mm are asked for" in caplog.text
    assert plan(PlanningOptions(spacing_mm=0.7)) == finer
    changed = replace(fingerprint, input_hash="other files")
    assert plan(PlanningOptions(), changed).fingerprint_hash != finer.fingerprint_hash
    assert "the data or dataset.json changed since" in caplog.text
    coronal = PlanningOptions(slice_axis="coronal")
    assert plan(coronal, changed).preprocessing.slice_axis == 1
    assert "the data or dataset.json changed since" in caplog.text
    assert plan(coronal, changed).preprocessing.slice_axis == 1
    assert f"using the plan {path}" in caplog.text


def test_a_plan_that_is_replaced_is_kept(
    fingerprint: Fingerprint, resources: Resources, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    made = keep_or_make_plan(path, "mine", fingerprint, resources, PlanningOptions())
    edited = replace(made, default_configuration="edited")
    write_json(path, to_table(edited))
    changed = replace(fingerprint, input_hash="other files")
    keep_or_make_plan(path, "mine", changed, resources, PlanningOptions())
    assert read_plan(tmp_path / "plan.previous.json") == edited


def test_a_plan_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no plan") as caught:
        read_plan(tmp_path / "plan.json")
    assert "brainad_plan_experiment" in caught.value.fix


def test_slips_in_a_plan_are_named(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    table = to_table(plan)
    table["preprocessing"]["spacing"] = 2
    write_json(path, table)
    with pytest.raises(UsageError, match=r"preprocessing\.spacing: Unexpected keyword"):
        read_plan(path)
    write_text(path, "{")
    with pytest.raises(UsageError, match="not a readable JSON file"):
        read_plan(path)
