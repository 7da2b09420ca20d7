from __future__ import annotations

from pathlib import Path

import pytest

from brainad.errors import UsageError
from brainad.files import write_text
from brainad.pipeline.trained import (
    dataset_name,
    find_model,
    fold_folder,
    name_root,
    trained_configurations,
    trained_folds,
    trainer_folder,
)
from brainad.workspace import Workspace


def train(results: Path, configuration: str, *folds: str) -> Path:
    """Pretend that folds of a configuration are trained."""
    trainer = trainer_folder(results, configuration)
    for fold in folds:
        write_text(fold_folder(trainer, fold) / "model_card.json", "{}")
    return trainer


def test_folds_are_those_with_a_card_and_all_comes_first(tmp_path: Path) -> None:
    trainer = train(tmp_path, "anyad", "1", "0", "all")
    fold_folder(trainer, "2").mkdir()
    assert trained_folds(trainer) == ["all", "0", "1"]
    assert trained_folds(tmp_path / "absent") == []


def test_configurations_without_a_model_are_left_out(tmp_path: Path) -> None:
    train(tmp_path, "medsad_clip", "0")
    train(tmp_path, "anyad", "all", "0")
    trainer_folder(tmp_path, "codegraph3d").mkdir()
    found = {"anyad": ["all", "0"], "medsad_clip": ["0"]}
    assert trained_configurations(tmp_path) == found


def test_a_path_means_itself_or_a_fold_below_it(tmp_path: Path) -> None:
    trainer = train(tmp_path, "anyad", "1", "3")
    assert find_model(trainer) == fold_folder(trainer, "1")
    assert find_model(trainer, "3") == fold_folder(trainer, "3")
    assert find_model(fold_folder(trainer, "3")) == fold_folder(trainer, "3")
    assert find_model(fold_folder(trainer, "3"), "3") == fold_folder(trainer, "3")
    train(tmp_path, "anyad", "all")
    assert find_model(trainer) == fold_folder(trainer, "all")


def test_what_is_there_is_named_where_a_model_is_not(tmp_path: Path) -> None:
    trainer = train(tmp_path, "anyad", "1")
    with pytest.raises(UsageError, match="no trained fold 4 here; found 1"):
        find_model(trainer, "4")
    with pytest.raises(UsageError, match="no trained fold 4 here"):
        find_model(fold_folder(trainer, "1"), "4")
    with pytest.raises(UsageError, match="no trained model here; found none"):
        find_model(tmp_path)


def test_a_model_is_named_from_the_results_root_or_its_parent(tmp_path: Path) -> None:
    results = tmp_path / "results"
    fold = fold_folder(trainer_folder(results / "Dataset501_Heads", "anyad"), "0")
    assert name_root(fold) == results
    assert name_root(tmp_path / "bank") == tmp_path
    assert name_root(tmp_path / "fold_0") == tmp_path


def test_a_dataset_is_known_by_its_models_alone(tmp_path: Path) -> None:
    workspace = Workspace(*(tmp_path / name for name in ("raw", "derived", "results", "weights")))
    train(workspace.results / "Dataset501_Heads", "anyad", "0")
    assert dataset_name(workspace, "501") == "Dataset501_Heads"
    with pytest.raises(UsageError):
        dataset_name(workspace, "502")
