from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brainad.cli.dataset import (
    extract_fingerprint,
    plan_and_preprocess,
    plan_experiment,
    preprocess,
    verify_dataset_main,
)
from brainad.files import read_csv, read_json, write_json
from brainad.inference.outputs import FAILURE_COLUMNS
from brainad.pipeline import dataset as dataset_module
from brainad.pipeline.executors import Processes
from brainad.pipeline.inspect import Inspection, inspect_cases

Command = Callable[..., tuple[int, str, str]]

NAME = "Dataset501_Phantoms"
CASES = ("phantom_000", "phantom_003")
COARSE = ("-overwrite_target_spacing", "4")


@pytest.fixture
def raw(phantom_dataset: Path, tmp_path: Path) -> Path:
    """Make a dataset of a healthy and an ill head."""
    folder = tmp_path / "raw" / NAME
    for place in ("imagesTr", "labelsTr"):
        (folder / place).mkdir(parents=True)
        for path in (phantom_dataset / place).iterdir():
            if path.name.startswith(CASES):
                shutil.copy2(path, folder / place)
    description = read_json(phantom_dataset / "dataset.json")
    del description["numTraining"]
    write_json(folder / "dataset.json", description)
    return folder


@pytest.fixture
def derived(tmp_path: Path) -> Path:
    return tmp_path / "preprocessed" / NAME


@pytest.fixture
def on(raw: Path, tmp_path: Path) -> tuple[str | Path, ...]:
    """Name the dataset, its roots and one process."""
    roots = ("--raw", raw.parent, "--preprocessed", tmp_path / "preprocessed")
    return ("-d", "501", *roots, "-np", "1")


def copy_of(raw: Path, case_id: str) -> Path:
    path = raw / "imagesTr" / f"{case_id}_0000.nii.gz"
    shutil.copy2(raw / "imagesTr" / "phantom_000_0000.nii.gz", path)
    return path


def test_a_sound_dataset_has_no_problems(command: Command, on: tuple[str | Path, ...]) -> None:
    assert command(verify_dataset_main, *on)[:2] == (0, "no problems found\n")


def test_warnings_count_when_asked_to(
    command: Command, on: tuple[str | Path, ...], raw: Path, tmp_path: Path
) -> None:
    copy_of(raw, "copy")
    code, shown, _ = command(verify_dataset_main, *on, "-o", tmp_path / "found.json")
    assert code == 0
    assert "same content: copy, phantom_000" in shown
    assert "keep one" in shown
    found = read_json(tmp_path / "found.json")["problems"]
    assert [(each["level"], each["check"]) for each in found] == [("warning", "duplicate")]
    assert command(verify_dataset_main, *on, "--strict")[0] == 3


def test_all_errors_are_listed_not_only_the_first(
    command: Command, on: tuple[str | Path, ...], raw: Path, tmp_path: Path
) -> None:
    copy_of(raw, "a").write_bytes(b"no scan")
    copy_of(raw, "b").write_bytes(b"no scan either")
    shutil.copy2(raw / "imagesTr" / "phantom_000_0000.nii.gz", raw / "imagesTr" / "c_0000.nii")
    copy_of(raw, "c")
    code, shown, _ = command(verify_dataset_main, *on, "-o", tmp_path / "found.json")
    assert code == 3
    assert shown.count("not a readable NIfTI file") == 2
    assert "2 files claim to be channel T2 of case c" in shown
    problems = read_json(tmp_path / "found.json")["problems"]
    assert {each["case_id"]: each["level"] for each in problems} == dict.fromkeys("abc", "error")
    assert any(str(raw / "imagesTr" / "a_0000.nii.gz") in each["files"] for each in problems)


def test_a_plain_folder_can_be_checked(
    command: Command, on: tuple[str | Path, ...], raw: Path
) -> None:
    roots = on[2:]
    assert command(verify_dataset_main, "-i", raw / "imagesTr", *roots)[:2] == (
        0,
        "no problems found\n",
    )
    copy_of(raw, "bad").write_bytes(b"no scan")
    code, shown, _ = command(verify_dataset_main, "-i", raw / "imagesTr", *roots)
    assert code == 3
    assert "bad" in shown


@pytest.mark.parametrize("flags", [(), ("-d", "501", "-i", "somewhere")])
def test_either_a_dataset_or_a_folder_is_checked(command: Command, flags: tuple[str, ...]) -> None:
    code, _, messages = command(verify_dataset_main, *flags)
    assert code == 2
    assert "give either -d or -i" in messages


def test_the_fingerprint_is_written_and_summed_up(
    command: Command, on: tuple[str | Path, ...], derived: Path
) -> None:
    code, shown, _ = command(extract_fingerprint, *on)
    assert code == 0
    assert f"{NAME}: 2 cases, labels: voxel" in shown
    assert "T2       1" in shown
    table = read_json(derived / "dataset_fingerprint.json")
    assert [case["case_id"] for case in table["cases"]] == list(CASES)


def test_several_datasets_are_measured_at_once(
    command: Command, on: tuple[str | Path, ...], raw: Path
) -> None:
    other = raw.parent / "Dataset502_Others"
    shutil.copytree(raw, other)
    code, shown, _ = command(extract_fingerprint, "-d", "501", other.name, *on[2:])
    assert code == 0
    assert NAME in shown
    assert other.name in shown


@pytest.mark.parametrize("main", [extract_fingerprint, plan_and_preprocess])
def test_clean_forgets_what_was_derived(
    command: Command, on: tuple[str | Path, ...], derived: Path, main: Callable[[], None]
) -> None:
    flags = (*COARSE, "--no_pp") if main is plan_and_preprocess else ()
    command(main, *on, *flags)
    (derived / "old").touch()
    assert command(main, *on, *flags)[0] == 0
    assert (derived / "old").exists()
    assert command(main, *on, *flags, "--clean")[0] == 0
    assert not (derived / "old").exists()
    assert (derived / "dataset_fingerprint.json").is_file()


@pytest.mark.parametrize("clash", [True, False])
def test_unusable_cases_are_told_and_change_the_exit_code(
    command: Command, on: tuple[str | Path, ...], raw: Path, clash: bool
) -> None:
    if clash:
        copy_of(raw, "bad")
        shutil.copy2(raw / "imagesTr" / "bad_0000.nii.gz", raw / "imagesTr" / "bad_0000.nii")
    else:
        copy_of(raw, "bad").write_bytes(b"no scan")
    code, shown, messages = command(extract_fingerprint, *on)
    assert code == 3
    assert "2 cases" in shown
    assert "WARN   case bad" in messages
    assert "WARN   case bad" in command(plan_experiment, *on)[2]


def test_the_plan_is_printed_with_its_reasons_and_made_anew(
    command: Command, on: tuple[str | Path, ...], derived: Path
) -> None:
    code, shown, _ = command(plan_experiment, *on)
    assert code == 0
    assert f"plan for {NAME}, default configuration " in shown
    plan = derived / "brainadPlans.json"
    planned = read_json(plan)["default_configuration"]
    for decision in ("default configuration", "registration", "codegraph3d: encoder"):
        assert f"\n{decision} = " in shown
    write_json(plan, {**read_json(plan), "default_configuration": "mine"})
    command(plan_experiment, *on)
    assert read_json(plan)["default_configuration"] == planned


def test_the_voxel_edge_and_the_time_budget_shape_the_plan(
    command: Command, on: tuple[str | Path, ...], derived: Path
) -> None:
    spacings, slices = [], []
    for spacing, budget in (("1", "1"), ("2", "1"), ("1", "1000")):
        flags = ("-overwrite_target_spacing", spacing, "-seconds_per_case", budget)
        assert command(plan_experiment, *on, *flags, "-device", "cpu")[0] == 0
        plan = read_json(derived / "brainadPlans.json")
        spacings.append(plan["preprocessing"]["spacing_mm"])
        slices.append(plan["configurations"]["codegraph3d"]["slices_per_block"])
    assert spacings == [1, 2, 1]
    assert slices[0] < slices[2]
    code, _, messages = command(plan_experiment, *on, "-overwrite_target_spacing", "9")
    assert code == 2
    assert "0.3 to 4 mm is possible" in messages


def test_the_plan_knows_which_weights_are_here(
    command: Command, on: tuple[str | Path, ...], tmp_path: Path, weights_folder: Path
) -> None:
    flags = ("-device", "cpu", "--weights")
    assert "its weights are here" in command(plan_experiment, *on, *flags, weights_folder)[1]
    shown = command(plan_experiment, *on, *flags, tmp_path)[1]
    assert "fetch its weights with brainad_download_weights" in shown


@pytest.mark.parametrize("main", [plan_experiment, preprocess, plan_and_preprocess])
def test_a_device_that_does_not_exist_is_refused(
    command: Command, on: tuple[str | Path, ...], main: Callable[[], None]
) -> None:
    code, _, messages = command(main, *on, "-device", "abacus")
    assert code == 2
    assert "unknown device 'abacus'" in messages


def test_preprocessing_needs_a_plan(command: Command, on: tuple[str | Path, ...]) -> None:
    code, _, messages = command(preprocess, *on)
    assert code == 2
    assert "ERROR  there is no plan" in messages
    assert "brainad_plan_experiment" in messages


def test_cases_are_prepared_as_planned_and_by_shares(
    command: Command, on: tuple[str | Path, ...], derived: Path
) -> None:
    assert command(plan_and_preprocess, *on, *COARSE, "--no_pp")[0] == 0
    assert not (derived / "prepared").exists()
    for part in ("0", "1"):
        code, shown, _ = command(preprocess, *on, "-num_parts", "2", "-part_id", part)
        assert (code, shown) == (0, f"{NAME}: 1 of 1 cases prepared\n")
        assert len(list((derived / "prepared").iterdir())) == 1 + int(part)
    code, shown, messages = command(plan_and_preprocess, *on, *COARSE)
    assert code == 0
    assert f"{NAME}: 2 of 2 cases prepared" in shown
    assert "phantom_000 kept" in messages
    assert "using the plan" in messages


def test_parts_keep_their_cases_and_their_failures_add_up(
    command: Command, on: tuple[str | Path, ...], raw: Path, derived: Path
) -> None:
    assert command(plan_and_preprocess, *on, *COARSE, "--no_pp")[0] == 0
    scan = (raw / "imagesTr" / "phantom_000_0000.nii.gz").read_bytes()
    for name in ("a", "z"):
        copy_of(raw, name).write_bytes(b"no scan")
    parts = ("-num_parts", "3", "-part_id")
    shown = {}
    for part in ("1", "0", "2"):
        code, shown[part], _ = command(preprocess, *on, *parts, part)
        assert code == (0 if part != "0" else 3)
    # The sorted names a, phantom_000, phantom_003, z in turn.
    assert shown == {
        "0": f"{NAME}: 0 of 2 cases prepared\n",
        "1": f"{NAME}: 1 of 1 cases prepared\n",
        "2": f"{NAME}: 1 of 1 cases prepared\n",
    }
    failed = read_csv(derived / "failed_cases.csv", FAILURE_COLUMNS)
    assert [row["case_id"] for row in failed] == ["a", "z"]
    copy_of(raw, "a").write_bytes(scan)
    code, shown["1"], messages = command(preprocess, *on, *parts, "1")
    assert (code, shown["1"]) == (0, f"{NAME}: 1 of 1 cases prepared\n")
    assert "phantom_000 kept" in messages
    assert command(preprocess, *on, *parts, "0")[:2] == (3, f"{NAME}: 1 of 2 cases prepared\n")
    failed = read_csv(derived / "failed_cases.csv", FAILURE_COLUMNS)
    assert [row["case_id"] for row in failed] == ["z"]


def test_a_part_without_cases_ends_well(command: Command, on: tuple[str | Path, ...]) -> None:
    assert command(plan_and_preprocess, *on, *COARSE, "--no_pp")[0] == 0
    code, shown, messages = command(preprocess, *on, "-num_parts", "3", "-part_id", "2")
    assert (code, shown) == (0, f"{NAME}: 0 of 0 cases prepared\n")
    assert "part 2 of 3 has nothing to prepare: there are only 2 cases" in messages


def test_a_plan_is_kept_unless_other_voxels_are_asked_for(
    command: Command, on: tuple[str | Path, ...], derived: Path
) -> None:
    command(plan_and_preprocess, *on, *COARSE, "--no_pp")
    plan = derived / "brainadPlans.json"
    edited = {**read_json(plan), "default_configuration": "mine"}
    write_json(plan, edited)
    command(plan_and_preprocess, *on, *COARSE, "--no_pp")
    assert read_json(plan) == edited
    flags = ("-overwrite_target_spacing", "3", "--no_pp")
    messages = command(plan_and_preprocess, *on, *flags)[2]
    assert "has 4 mm: planning again" in messages
    assert read_json(plan)["preprocessing"]["spacing_mm"] == 3


@pytest.mark.parametrize("flags", [(), ("--verify_dataset_integrity",)])
def test_the_check_is_always_made_and_bad_cases_do_not_stop_the_others(
    command: Command,
    on: tuple[str | Path, ...],
    raw: Path,
    derived: Path,
    flags: tuple[str, ...],
) -> None:
    path = copy_of(raw, "bad")
    path.write_bytes(b"no scan")
    code, shown, messages = command(plan_and_preprocess, *on, *COARSE, *flags)
    assert code == 3
    assert f"{NAME}: 2 of 3 cases prepared" in shown
    assert f"1 cases failed, see {derived / 'failed_cases.csv'}" in messages
    (failure,) = read_csv(derived / "failed_cases.csv", FAILURE_COLUMNS)
    assert (failure["case_id"], failure["stage"]) == ("bad", "check")
    assert failure["what_to_do"]
    path.unlink()
    assert command(plan_and_preprocess, *on, *COARSE)[0] == 0
    assert not (derived / "failed_cases.csv").exists()


def test_names_that_climb_lead_nowhere(
    command: Command, on: tuple[str | Path, ...], raw: Path, derived: Path, tmp_path: Path
) -> None:
    scan = raw / "imagesTr" / "phantom_000_0000.nii.gz"
    description = read_json(raw / "dataset.json")
    images = {"images": [str(scan)], "label": None}
    climbing = ("../../escaped", str(tmp_path / "escaped"), "..", "a\nb", "c:\\d")
    listed = {**dict.fromkeys(climbing, images), "good": images}
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(derived)}
    for change in (
        {"dataset": listed},
        {
            "dataset": {**listed, "other": {"images": [None, str(scan)]}},
            "channel_names": {"0": "T2", "1": "../../up"},
            "brainad": {"required_channels": [], "channel_aliases": {"T2": ["../../up"]}},
        },
        {
            "channel_names": {"0": "T2"},
            "brainad": {"required_channels": [], "channel_aliases": {"../../up": ["tee2"]}},
        },
    ):
        write_json(raw / "dataset.json", {**description, **change})
        copy_of(raw, "x").replace(raw / "imagesTr" / "x_tee2.nii.gz")
        code, _, messages = command(plan_and_preprocess, *on, *COARSE)
        assert code == 3
        assert "unexpected" not in messages
        failed = read_csv(derived / "failed_cases.csv", FAILURE_COLUMNS)
        names = {row["case_id"] for row in failed}
        assert len(names) == (len(climbing) if "dataset" in change else 1)
        assert all("cannot be part of a file name" in row["message"] for row in failed)
        assert (derived / "prepared").is_dir()
        (raw / "imagesTr" / "x_tee2.nii.gz").unlink()
        after = {path for path in tmp_path.rglob("*") if not path.is_relative_to(derived)}
        assert after - before <= {derived.parent}
    channels = {"0": "T2", "1": "../../up"}
    write_json(raw / "dataset.json", {**description, "channel_names": channels})
    code, _, messages = command(plan_and_preprocess, *on, *COARSE)
    assert code == 2
    assert "a channel is called '../../up'" in messages


@pytest.mark.parametrize(
    "main", [verify_dataset_main, extract_fingerprint, plan_experiment, plan_and_preprocess]
)
def test_the_number_of_processes_is_obeyed(
    command: Command,
    on: tuple[str | Path, ...],
    monkeypatch: pytest.MonkeyPatch,
    main: Callable[[], None],
) -> None:
    seen = []

    def remember(*values: Any) -> Inspection:
        *others, executor = values
        seen.append(executor)
        return inspect_cases(*others)

    monkeypatch.setattr(dataset_module, "inspect_cases", remember)
    flags = ("--no_pp",) if main is plan_and_preprocess else ()
    assert command(main, *on[:-1], "3", *flags)[0] == 0
    assert set(seen) == {Processes(3)}


def test_datasets_are_looked_for_below_the_roots(
    command: Command, on: tuple[str | Path, ...], raw: Path, tmp_path: Path
) -> None:
    code, _, messages = command(extract_fingerprint, "-d", "501", "--raw", tmp_path, *on[4:])
    assert code == 2
    assert "no dataset '501'; found: none" in messages
    assert f"  where  {tmp_path}" in messages
    (tmp_path / "results" / "Dataset501_Other").mkdir(parents=True)
    code, _, messages = command(extract_fingerprint, *on, "--results", tmp_path / "results")
    assert code == 2
    assert f"dataset 501 has several names: Dataset501_Other, {raw.name}" in messages


def test_raw_data_are_only_read(command: Command, on: tuple[str | Path, ...], raw: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in raw.rglob("*")}
    assert command(plan_and_preprocess, *on, *COARSE)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in raw.rglob("*")} == before


def test_a_root_that_cannot_be_written_is_named(
    command: Command, on: tuple[str | Path, ...], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    flags = (*on[:5], tmp_path / "file", *on[6:])
    code, _, messages = command(extract_fingerprint, *flags)
    assert code == 2
    assert "ERROR  cannot write here" in messages
    assert str(tmp_path / "file") in messages
