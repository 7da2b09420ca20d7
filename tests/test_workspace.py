from __future__ import annotations

import logging
from pathlib import Path

import pytest

from brainad.errors import UsageError
from brainad.workspace import Workspace, find_workspace, locate_roots, shard_from_environment


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for role in ("raw", "preprocessed", "results"):
        (tmp_path / role).mkdir()
    return Workspace(*(tmp_path / role for role in ("raw", "preprocessed", "results", "weights")))


def add(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("identifier", ["7", "007", "Dataset007_Heads"])
def test_a_dataset_is_found_by_number_and_by_name(workspace: Workspace, identifier: str) -> None:
    add(workspace.raw, "Dataset070_Other")
    folder = add(workspace.raw, "Dataset007_Heads")
    assert workspace.dataset_folder(identifier) == folder


def test_a_dataset_is_found_by_path_wherever_it_is(workspace: Workspace, tmp_path: Path) -> None:
    folder = add(tmp_path / "elsewhere", "any name")
    (folder / "dataset.json").touch()
    assert workspace.dataset_folder(str(folder)) == folder.resolve()


@pytest.mark.parametrize("root", ["raw", "preprocessed", "results"])
def test_one_number_with_two_names_is_refused(workspace: Workspace, root: str) -> None:
    add(workspace.raw, "Dataset007_Heads")
    add(getattr(workspace, root), "Dataset007_Brains")
    with pytest.raises(UsageError, match="several names: Dataset007_Brains, Dataset007_Heads"):
        workspace.dataset_folder("7")
    assert workspace.dataset_folder("Dataset007_Heads").name == "Dataset007_Heads"


def test_an_unknown_dataset_is_answered_with_those_that_exist(workspace: Workspace) -> None:
    add(workspace.raw, "Dataset007_Heads")
    (workspace.raw / "Dataset008_IsAFile").touch()
    with pytest.raises(UsageError, match="no dataset '8'; found: Dataset007_Heads"):
        workspace.dataset_folder("8")
    missing = Workspace(*(Path("nowhere"),) * 4)
    with pytest.raises(UsageError, match="found: none"):
        missing.dataset_folder("7")


def test_derived_folders_are_named_like_the_dataset(workspace: Workspace) -> None:
    folder = Path("elsewhere") / "Dataset007_Heads"
    assert workspace.preprocessed_folder(folder) == workspace.preprocessed / "Dataset007_Heads"
    assert workspace.results_folder(folder) == workspace.results / "Dataset007_Heads"


def test_an_argument_stands_above_the_environment_and_that_above_the_home() -> None:
    variables = {
        "BRAINAD_HOME": "/home",
        "brainad_raw": "/lower",
        "brainad_results": "/lower results",
        "BRAINAD_RESULTS": "/upper results",
        "BRAINAD_WEIGHTS": "/upper weights",
    }
    found = find_workspace({"raw": "/argument", "results": None}, variables)
    assert found.raw == Path("/argument")
    assert found.results == Path("/lower results")
    assert found.weights == Path("/upper weights")
    assert found.preprocessed == Path("/home/preprocessed")


def test_without_any_variable_everything_lives_in_the_home_folder() -> None:
    found = find_workspace({}, {})
    assert found.raw == Path("~/brainad/raw").expanduser()
    assert found.weights == Path("~/brainad/weights").expanduser()


def test_only_raw_data_are_borrowed_and_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    variables = {"nnUNet_raw": "/theirs", "nnUNet_results": "/theirs", "BRAINAD_HOME": "/ours"}
    with caplog.at_level(logging.INFO):
        found = find_workspace({}, variables)
    assert found.raw == Path("/theirs")
    assert found.results == Path("/ours/results")
    assert "nnUNet_raw /theirs" in caplog.text
    assert find_workspace({}, {**variables, "brainad_raw": "/mine"}).raw == Path("/mine")


def test_quotes_variables_and_the_home_sign_are_resolved() -> None:
    variables = {"brainad_raw": '"$DISK/${NAME}/raw"', "DISK": "/disk", "NAME": "me"}
    assert find_workspace({}, variables).raw == Path("/disk/me/raw")
    assert find_workspace({"raw": "~/x"}, {}).raw == Path("~/x").expanduser()
    assert find_workspace({"raw": "$UNSET/x"}, {}).raw == Path("$UNSET/x").absolute()


@pytest.mark.parametrize(
    ("variables", "share"),
    [
        ({}, None),
        ({"SLURM_ARRAY_TASK_ID": "3"}, None),
        ({"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "4"}, (4, 0)),
        (
            {
                "SLURM_ARRAY_TASK_ID": "4",
                "SLURM_ARRAY_TASK_COUNT": "4",
                "SLURM_ARRAY_TASK_MIN": "1",
            },
            (4, 3),
        ),
        (
            {
                "SLURM_ARRAY_TASK_ID": "6",
                "SLURM_ARRAY_TASK_COUNT": "4",
                "SLURM_ARRAY_TASK_MIN": "0",
                "SLURM_ARRAY_TASK_STEP": "2",
            },
            (4, 3),
        ),
    ],
)
def test_a_slurm_array_job_names_its_part(
    variables: dict[str, str], share: tuple[int, int] | None
) -> None:
    assert shard_from_environment(variables) == share


def test_the_origin_of_each_root_is_known() -> None:
    variables = {"brainad_raw": "/a", "BRAINAD_RESULTS": "/b", "BRAINAD_HOME": "/c"}
    roots = locate_roots({"weights": "/d"}, variables)
    assert {role: root.origin for role, root in roots.items()} == {
        "raw": "brainad_raw",
        "preprocessed": "BRAINAD_HOME",
        "results": "BRAINAD_RESULTS",
        "weights": "--weights",
    }
    assert locate_roots({}, {})["raw"].origin == "default"
    assert locate_roots({}, {"nnUNet_raw": "/e"})["raw"].origin == "nnUNet_raw"
