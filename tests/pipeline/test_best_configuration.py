from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainad.errors import UsageError
from brainad.files import read_json, write_json
from brainad.inference.outputs import Marker, OutputFolder
from brainad.nifti import write_volume
from brainad.pipeline import best_configuration
from brainad.pipeline.best_configuration import (
    INFORMATION_FILE,
    choose_configuration,
    find_best_configuration,
)
from brainad.pipeline.evaluate import TruthFolder
from brainad.pipeline.splits import SPLITS_FILE
from brainad.pipeline.trained import VALIDATION_FOLDER, fold_folder, trainer_folder
from brainad.plan import Plan
from brainad.prediction import Result
from brainad.volume import Grid, Volume

_GRID = Grid((6, 6, 4), np.diag([1.0, 1.0, 1.0, 1.0]))
_CASES = [f"case_{number}" for number in range(8)]
_ILL = set(_CASES[::2])
_FOLDS = [_CASES[:4], _CASES[4:]]
_LESION = np.zeros(_GRID.shape, dtype=bool)
_LESION[1:4, 1:4, 1:3] = True


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_configuration, "_RESAMPLES", 40)


@pytest.fixture
def truth(tmp_path: Path) -> TruthFolder:
    masks: dict[str, Path | None] = {}
    for name in _CASES:
        masks[name] = tmp_path / "truth" / f"{name}.nii.gz"
        drawn = _LESION & (name in _ILL)
        write_volume(tmp_path / "truth" / f"{name}.nii.gz", Volume(drawn, _GRID))
    labels = {name: "unhealthy" if name in _ILL else "healthy" for name in _CASES}
    return TruthFolder(masks, labels, {name: name for name in _CASES})  # type: ignore[arg-type]


@pytest.fixture
def derived(tmp_path: Path) -> Path:
    folder = tmp_path / "preprocessed"
    splits = [{"train": _FOLDS[1 - k], "val": _FOLDS[k]} for k in range(2)]
    write_json(folder / SPLITS_FILE, splits)
    return folder


def train(
    results: Path,
    configuration: str,
    folds: Sequence[int] = (0, 1),
    margin: float = 0.3,
    found: bool = True,
) -> None:
    """Pretend to have trained: scores of ill cases lie above others by a margin."""
    for fold in folds:
        folder = fold_folder(trainer_folder(results, configuration), str(fold))
        write_json(folder / "model_card.json", {})
        for number, name in enumerate(_FOLDS[fold]):
            score = 0.4 + 0.02 * number + (margin if name in _ILL else 0.0)
            values = np.where(_LESION & (name in _ILL) & found, 0.8, 0.1).astype(np.float32)
            evidence = Volume(values, _GRID)
            result = Result(name, evidence, Volume(values >= 0.5, _GRID), score, 1.0, 2,
                            values.max(axis=(0, 1)))  # fmt: skip
            scan = results / "scan.nii.gz"
            write_volume(scan, evidence)
            row = {"case_id": name, "score": score}
            marker = Marker("key", row, 2, (0.0,) * 4, None, None)
            OutputFolder(folder / VALIDATION_FOLDER).deliver(result, scan, marker)


def test_the_best_is_found_and_remembered(
    tmp_path: Path, truth: TruthFolder, derived: Path, plan: Plan
) -> None:
    results = tmp_path / "results"
    train(results, "anyad", margin=-0.01)
    train(results, "medsad_clip")
    found = find_best_configuration(results, derived, truth, "patient_auroc")
    assert [ranked.name for ranked in found.ranking] == ["medsad_clip", "anyad"]
    assert found.folds == ("0", "1")
    assert found.ranking[0].value == 1.0
    assert found.ranking[0].patients == 8
    table = read_json(results / INFORMATION_FILE)
    assert table["best_configuration"] == "medsad_clip"
    assert table["ranking"][1]["low"] <= table["ranking"][1]["value"] < 1
    assert "8 patients of folds 0, 1" in table["because"]
    chosen = choose_configuration(results, plan)
    assert (chosen.value, chosen.because) == ("medsad_clip", table["because"])


def test_the_metric_decides(tmp_path: Path, truth: TruthFolder, derived: Path) -> None:
    results = tmp_path / "results"
    train(results, "anyad", margin=0.3, found=False)
    train(results, "medsad_clip", margin=-0.01, found=True)
    by_score = find_best_configuration(results, derived, truth, "patient_auroc")
    by_dice = find_best_configuration(results, derived, truth, "dice")
    assert by_score.ranking[0].name == "anyad"
    assert by_dice.ranking[0].name == "medsad_clip"
    assert (by_dice.ranking[0].value, by_dice.ranking[1].value) == (1.0, 0.0)


def test_only_folds_that_all_have_are_compared(
    tmp_path: Path, truth: TruthFolder, derived: Path
) -> None:
    results = tmp_path / "results"
    train(results, "anyad", folds=(0, 1))
    train(results, "medsad_clip", folds=(1,))
    assert find_best_configuration(results, derived, truth, "dice").folds == ("1",)
    chosen = find_best_configuration(results, derived, truth, "dice", ["anyad"])
    assert chosen.folds == ("0", "1")
    assert chosen.because.startswith("the only one")


def test_a_case_without_prediction_counts_as_wrong(
    tmp_path: Path, truth: TruthFolder, derived: Path
) -> None:
    results = tmp_path / "results"
    train(results, "anyad")
    lost = OutputFolder(fold_folder(trainer_folder(results, "anyad"), "0") / VALIDATION_FOLDER)
    name = _FOLDS[0][0]
    lost.mask_path(name).unlink()
    (lost.internal / "cases" / f"{name}.json").unlink()
    assert find_best_configuration(results, derived, truth, "dice").ranking[0].value == 0.75
    by_score = find_best_configuration(results, derived, truth, "patient_auroc")
    assert by_score.ranking[0].value == 0.75


def test_what_was_not_trained_or_shares_no_fold_is_refused(
    tmp_path: Path, truth: TruthFolder, derived: Path
) -> None:
    results = tmp_path / "results"
    with pytest.raises(UsageError, match="any configuration"):
        find_best_configuration(results, derived, truth, "dice")
    train(results, "anyad", folds=(0,))
    with pytest.raises(UsageError, match="not trained: rasalore"):
        find_best_configuration(results, derived, truth, "dice", ["anyad", "rasalore"])
    train(results, "medsad_clip", folds=(1,))
    with pytest.raises(UsageError, match="share no fold"):
        find_best_configuration(results, derived, truth, "dice")


@pytest.mark.parametrize(
    ("trained", "default", "expected", "because"),
    [
        ((), "codegraph3d", "codegraph3d", "default of the plan"),
        ((), "medsad_clip", "codegraph3d", "nothing was trained yet"),
        (("anyad", "medsad_clip"), "anyad", "anyad", "default of the plan, and was trained"),
        (("codegraph3d", "medsad_clip"), "anyad", "medsad_clip", "anyad was not trained"),
        (("medsad_clip",), "codegraph3d", "medsad_clip", "codegraph3d was not trained"),
    ],
)
def test_without_a_comparison_the_labels_decide(
    tmp_path: Path, plan: Plan, trained: Sequence[str], default: str, expected: str, because: str
) -> None:
    for configuration in trained:
        train(tmp_path, configuration, folds=(0,))
    found = choose_configuration(tmp_path, replace(plan, default_configuration=default))
    assert found.value == expected
    assert because in found.because


def test_a_stale_comparison_is_not_followed(tmp_path: Path, plan: Plan) -> None:
    train(tmp_path, "medsad_clip", folds=(0,))
    write_json(tmp_path / INFORMATION_FILE, {"best_configuration": "gone", "because": "it was"})
    assert choose_configuration(tmp_path, plan).value == "medsad_clip"
