"""Every method there is: from a prepared dataset to a model, predictions, metrics and a report."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from brainad import methods
from brainad.case import Supervision
from brainad.cli import ensemble as ensemble_command
from brainad.cli import evaluate as evaluate_command
from brainad.cli import predict as predict_command
from brainad.cli import train as train_command
from brainad.files import read_json
from brainad.inference.outputs import OutputFolder
from brainad.nifti import read_grid
from brainad.pipeline.dataset import DatasetWork
from brainad.pipeline.planning import read_plan
from brainad.pipeline.trained import fold_folder, trainer_folder

Command = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(
    phantom_work: DatasetWork,
    tmp_path_factory: pytest.TempPathFactory,
    quick_planning: None,  # noqa: ARG001
) -> Path:
    """Copy what was planned and prepared, so that it may be written to."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(phantom_work.derived, folder / "preprocessed" / phantom_work.raw.name)
    return folder


def flags(home: Path, raw: Path, weights: Path) -> tuple[str | Path, ...]:
    return (
        *("--raw", raw.parent, "--preprocessed", home / "preprocessed"),
        *("--results", home / "results", "--weights", weights),
    )


def test_the_best_labels_choose_the_method(phantom_work: DatasetWork) -> None:
    plan = read_plan(phantom_work.derived / "brainadPlans.json")
    assert plan.default_configuration == "medsad_clip"
    assert set(plan.configurations) == set(methods.available())
    assert any("there are lesion masks" in reason for reason in plan.reasons)


@pytest.mark.parametrize("name", methods.available())
def test_a_method_walks_from_masks_to_a_report(
    command: Command,
    home: Path,
    phantom_work: DatasetWork,
    weights_folder: Path,
    name: str,
) -> None:
    raw, target = phantom_work.raw, home / name
    roots = flags(home, raw, weights_folder)
    if methods.get(name).supervision is not Supervision.NONE:
        code, _, said = command(train_command.main, "501", name, "0", "-device", "cpu", *roots)
        assert code == 0, said
        fold = fold_folder(trainer_folder(home / "results" / raw.name, name), "0")
        assert (fold / "pseudo_masks.html").is_file() == (name == "rasalore")
    code, shown, said = command(
        predict_command.main,
        *("-i", raw / "imagesTr", "-o", target, "-d", "501", "-c", name, "-device", "cpu"),
        *roots,
    )
    assert code == 0, said
    assert "phantom_000" in shown
    assert "not a medical device" in (target / "report.html").read_text()
    assert command(evaluate_command.main, raw, target)[0] == 0
    summary = read_json(target / "summary.json")
    assert summary["n_cases"]["evaluated"] == 7
    assert summary["pixel_level"]["AUROC"] > 0.7
    assert summary["slice_level"]["Dice_lesion_slices"] is not None
    output = OutputFolder(target)
    for scan in sorted((raw / "imagesTr").iterdir()):
        case_id = scan.name.removesuffix("_0000.nii.gz")
        for path in (output.mask_path(case_id), output.map_path(case_id)):
            assert read_grid(path).matches(read_grid(scan), 0)


def test_without_a_name_the_default_that_was_trained_answers(
    command: Command, home: Path, phantom_work: DatasetWork, weights_folder: Path
) -> None:
    raw, target = phantom_work.raw, home / "unnamed"
    code, _, said = command(
        predict_command.main,
        *("-i", raw / "imagesTr", "-o", target, "-d", "501", "-device", "cpu"),
        *flags(home, raw, weights_folder),
    )
    assert code == 0, said
    assert "configuration = medsad_clip: it is the default of the plan, and was trained" in said
    assert (target / "patient_scores.csv").read_bytes()
    report = read_json(target / "run_report.json")
    assert report["configuration"] == "medsad_clip"


def test_methods_can_be_averaged(command: Command, home: Path) -> None:
    folders = (home / "codegraph3d", home / "medsad_clip")
    code, _, said = command(ensemble_command.main, "-i", *folders, "-o", home / "together")
    assert code == 0, said
    assert len(OutputFolder(home / "together").case_ids()) == 7
