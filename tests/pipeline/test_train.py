"""Train on folds of a small two-channel dataset, interrupted or not, and use what was trained."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file

from brainad import Predictor, model_folder
from brainad.cli import calibrate as calibrate_command
from brainad.cli import predict as predict_command
from brainad.cli import share as share_command
from brainad.cli import train as train_command
from brainad.dataset import read_dataset
from brainad.errors import DataError, ResourceError, UsageError
from brainad.files import read_json, write_csv, write_json
from brainad.methods.anyad.method import AnyAD
from brainad.phantom import PhantomOptions
from brainad.pipeline.cases import Share
from brainad.pipeline.dataset import PLAN_FILE, DatasetWork
from brainad.pipeline.model import stored_channel_names
from brainad.pipeline.phantoms import Cohort, write_cohort
from brainad.pipeline.train import Fold, TrainingOptions, TrainingReport, train_fold
from brainad.pipeline.trained import fold_folder, trainer_folder
from brainad.plan import Resources
from brainad.training.progress import HISTORY_FILE
from brainad.workspace import Workspace

Command = Callable[..., tuple[int, str, str]]
NAME = "Dataset504_Pairs"
# Has a FLAIR scan only.
LACKING = "phantom_001"


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory,
    resources: Resources,
    quick_planning: None,  # noqa: ARG001
) -> Workspace:
    """Write, plan and prepare 8 healthy and 2 ill heads with two channels."""
    folder = tmp_path_factory.mktemp("home")
    workspace = Workspace(
        folder / "raw", folder / "preprocessed", folder / "results", resources.weights
    )
    raw = workspace.raw / NAME
    options = PhantomOptions(
        channels=("FLAIR", "T2"),
        lesion="glioma",
        lesion_radius_mm=(18.0, 20.0),
        spacing_mm=(5.0, 5.0, 5.0),
        warp_mm=1.0,
        random_pose=False,
    )
    write_cohort(Cohort(raw, options, healthy=8, unhealthy=2, seed=5))
    (raw / "imagesTr" / f"{LACKING}_0001.nii.gz").unlink()
    table = read_json(raw / "dataset.json")
    write_json(raw / "dataset.json", {**table, "brainad": {"required_channels": ["FLAIR"]}})
    work = DatasetWork(raw, workspace.preprocessed / NAME)
    work.plan(resources, None)
    work.preprocess("cpu", Share())
    return workspace


def fold_of(home: Workspace, fold: str, results: Path | None = None) -> Fold:
    target = (results or home.results) / NAME
    return Fold(home.raw / NAME, home.preprocessed / NAME, target, "anyad", fold)


@pytest.fixture(scope="module")
def trained(home: Workspace, resources: Resources) -> TrainingReport:
    return train_fold(fold_of(home, "0"), resources, TrainingOptions(fpr=0.2))


def flags(home: Workspace) -> tuple[str | Path, ...]:
    return (
        *("--raw", home.raw, "--preprocessed", home.preprocessed, "--results", home.results),
        *("--weights", home.weights),
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_fold_leaves_a_model_with_thresholds(trained: TrainingReport, home: Workspace) -> None:
    assert trained.trained
    assert (trained.cases, trained.held_out) == (8, 2)
    assert trained.folder == fold_folder(trainer_folder(home.results / NAME, "anyad"), "0")
    card = read_json(trained.folder / "model_card.json")
    assert card["channels"] == ["FLAIR", "T2"]
    assert stored_channel_names(trained.folder) == {0: "FLAIR", 1: "T2"}
    assert "not a medical device" in card["intended_use"]
    assert card["training_data"]["cases"] == 8
    present = {path.name for path in trained.folder.iterdir()}
    wanted = {"state.safetensors", "state.json", "plans.json", "calibration.json"}
    assert wanted | {"progress.png", "environment.json", "validation"} <= present
    assert not list(trained.folder.glob("checkpoint_*"))
    stored = model_folder.read(trained.folder)
    assert stored.calibration == trained.calibration
    assert trained.calibration is not None
    assert "held-out healthy cases at a false positive rate of 0.2" in trained.calibration.source
    held_out = read_json(home.preprocessed / NAME / "splits_final.json")[0]["val"]
    assert (trained.folder / "validation" / "summary.json").is_file()
    table = rows(trained.folder / "validation" / "patient_scores.csv")
    assert [row["case_id"] for row in table] == sorted(held_out)


def test_a_finished_fold_is_kept(
    trained: TrainingReport, home: Workspace, resources: Resources
) -> None:
    before = (trained.folder / "state.safetensors").stat().st_mtime_ns
    again = train_fold(fold_of(home, "0"), resources, TrainingOptions(fpr=0.2))
    assert not again.trained
    assert (trained.folder / "state.safetensors").stat().st_mtime_ns == before
    assert again.calibration == trained.calibration


def test_held_out_cases_can_be_judged_again(
    trained: TrainingReport, home: Workspace, resources: Resources, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no trained model to validate"):
        train_fold(fold_of(home, "0", tmp_path), resources, TrainingOptions(validate_only=True))
    fold = fold_of(home, "0", tmp_path)
    shutil.copytree(trained.folder, fold.folder)
    shutil.rmtree(fold.folder / "validation")
    again = train_fold(fold, resources, TrainingOptions(validate_only=True, fpr=0.2))
    assert not again.trained
    assert again.calibration == trained.calibration
    for name in ("summary.json", "patient_scores.csv"):
        assert (fold.folder / "validation" / name).is_file()


def test_the_same_seed_trains_the_same_model(
    trained: TrainingReport, home: Workspace, resources: Resources, tmp_path: Path
) -> None:
    other = train_fold(fold_of(home, "0", tmp_path), resources, TrainingOptions())
    name = "state.safetensors"
    assert (other.folder / name).read_bytes() == (trained.folder / name).read_bytes()
    seeded = train_fold(fold_of(home, "0", tmp_path), resources, TrainingOptions(seed=8))
    assert seeded.trained
    assert (seeded.folder / name).read_bytes() != (trained.folder / name).read_bytes()
    assert model_folder.read(seeded.folder).plan.configurations["anyad"]["seed"] == 8


@pytest.mark.slow
def test_a_killed_training_ends_like_an_undisturbed_one(
    trained: TrainingReport, home: Workspace, tmp_path: Path
) -> None:
    """kill −9 after some epochs, then the same command again."""
    where = Workspace(home.raw, home.preprocessed, tmp_path, home.weights)
    command = [sys.executable, "-c", "from brainad.cli.train import main; main()"]
    command += [NAME, "anyad", "0", "-device", "cpu", *map(str, flags(where))]
    folder = fold_folder(trainer_folder(tmp_path / NAME, "anyad"), "0")
    # Sums depend on the number of threads in their last bits.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    history, killed_after = folder / HISTORY_FILE, 3
    while process.poll() is None:
        if history.is_file() and _epochs(history) >= killed_after:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "model_card.json").exists()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    log = (folder / "training_log.txt").read_text()
    assert log.count(f"epoch {killed_after}/") == 1
    one, other = (load_file(each / "state.safetensors") for each in (folder, trained.folder))
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)


def _epochs(history: Path) -> int:
    stages: Mapping[str, list[object]] = read_json(history)["stages"]
    return sum(map(len, stages.values()))


@pytest.mark.slow
def test_any_set_of_channels_is_predicted_in_one_folder(
    trained: TrainingReport, home: Workspace, command: Command, tmp_path: Path
) -> None:
    scans, target = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    images = home.raw / NAME / "imagesTr"
    for name, endings in (("both", (0, 1)), ("first", (0,)), ("second", (1,))):
        for ending in endings:
            source = images / f"phantom_003_{ending:04d}.nii.gz"
            shutil.copy2(source, scans / f"{name}_{('FLAIR', 'T2')[ending]}.nii.gz")
    shutil.copy2(images / "phantom_003_0000.nii.gz", scans / "neither_T1.nii.gz")
    code, out, _ = command(
        predict_command.main,
        *("-i", scans, "-o", target, "-d", "504", "-c", "anyad", "-np", "1", "-device", "cpu"),
        *flags(home),
    )
    assert code == 3
    assert "neither" in out
    table = {row["case_id"]: row for row in rows(target / "patient_scores.csv")}
    used = {name: (row["channels_used"], row["channels_missing"]) for name, row in table.items()}
    assert used["both"] == ("FLAIR T2", "")
    assert used["first"] == ("FLAIR", "T2")
    assert used["second"] == ("T2", "FLAIR")
    (failed,) = rows(target / "failed_cases.csv")
    assert failed["case_id"] == "neither"
    assert "FLAIR or T2" in failed["message"]
    assert len({table[name]["score"] for name in ("both", "first", "second")}) == 3
    assert all(table[name]["p_value"] for name in ("both", "first", "second"))
    assert "held-out healthy" in (target / "report.html").read_text()
    again = Predictor.from_model(trained.folder, "cpu")
    with pytest.raises((DataError, UsageError), match="not what the model looks at"):
        again.predict_case({"T1": scans / "neither_T1.nii.gz"})


@pytest.mark.slow
def test_a_model_travels_in_a_zip(
    trained: TrainingReport, home: Workspace, command: Command, tmp_path: Path
) -> None:
    archive, elsewhere = tmp_path / "model.zip", tmp_path / "results"
    code, _, _ = command(
        share_command.export_main,
        "-d",
        "504",
        "-c",
        "anyad",
        "-f",
        "0",
        "-o",
        archive,
        *flags(home)[:-2],
    )
    assert code == 0
    install = (archive, "--results", elsewhere)
    code, out, _ = command(share_command.install_main, *install)
    assert code == 0
    assert "licence" in out
    there = fold_folder(trainer_folder(elsewhere / NAME, "anyad"), "0")
    assert model_folder.read(there).model_id == model_folder.read(trained.folder).model_id
    assert command(share_command.install_main, *install)[0] == 2
    assert command(share_command.install_main, *install, "--overwrite")[0] == 0
    one = Predictor.from_model(archive, "cpu")
    other = Predictor.from_model(trained.folder.parent, "cpu")
    scan = home.raw / NAME / "imagesTr" / "phantom_003_0001.nii.gz"
    results = [predictor.predict_case({"T2": scan}) for predictor in (one, other)]
    assert results[0].score == results[1].score
    assert (results[0].anomaly_map.data == results[1].anomaly_map.data).all()


def test_thresholds_can_be_stored_with_a_model(
    trained: TrainingReport, home: Workspace, command: Command, tmp_path: Path
) -> None:
    copy = tmp_path / "fold_0"
    shutil.copytree(trained.folder, copy)
    code, out, _ = command(
        calibrate_command.main,
        *("-i", trained.folder / "validation", "-ref", home.raw / NAME),
        *("-target", "fpr=0.5", "-o", tmp_path / "calibration.json", "-m", copy),
    )
    assert code == 0
    assert str(copy) in out
    assert "false positive rate of 0.5" in str(model_folder.read(copy).calibration)
    assert model_folder.read(copy).model_id == model_folder.read(trained.folder).model_id


def test_training_on_all_is_calibrated_out_of_fold(
    trained: TrainingReport, home: Workspace, resources: Resources
) -> None:
    report = train_fold(fold_of(home, "all"), resources, TrainingOptions())
    assert (report.cases, report.held_out) == (10, 0)
    assert report.calibration is not None
    assert trained.calibration is not None
    assert report.calibration.source.endswith("out of fold")
    assert report.calibration.healthy_scores == trained.calibration.healthy_scores


def test_what_cannot_be_trained_is_refused_before_anything_starts(
    home: Workspace, resources: Resources, command: Command, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no fold '7'"):
        fold_of(home, "7")
    arguments = (home.raw / NAME, home.preprocessed / NAME, tmp_path)
    with pytest.raises(UsageError, match="needs no training"):
        Fold(*arguments, "codegraph3d", "0")
    with pytest.raises(UsageError, match="not planned and prepared"):
        Fold(home.raw / NAME, tmp_path, tmp_path, "anyad", "0")
    edited = tmp_path / NAME
    shutil.copytree(home.preprocessed / NAME, edited, ignore=shutil.ignore_patterns("features"))
    table = read_json(edited / PLAN_FILE)
    table["configurations"]["anyad"]["minimum_slices"] = 10_000
    write_json(edited / PLAN_FILE, table)
    few = Fold(home.raw / NAME, edited, tmp_path / "results", "anyad", "0")
    with pytest.raises(UsageError, match="at least 10000 are needed"):
        train_fold(few, resources, TrainingOptions())
    assert not (edited / "features").exists()
    code, _, err = command(train_command.main, "504", "anyad", "0", "-fpr", "2", *flags(home))
    assert code == 2
    assert "-fpr" in err


def test_an_exhausted_device_is_told(
    home: Workspace, resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhaust(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(AnyAD, "fit", exhaust)
    with pytest.raises(ResourceError, match="cpu has too little memory for anyad") as caught:
        train_fold(fold_of(home, "1", tmp_path), resources, TrainingOptions())
    assert "batch size" in caught.value.fix


def test_no_normal_slice_is_told(home: Workspace, tmp_path: Path) -> None:
    raw, derived = tmp_path / "raw" / NAME, tmp_path / NAME
    shutil.copytree(home.raw / NAME, raw)
    shutil.copytree(home.preprocessed / NAME, derived, ignore=shutil.ignore_patterns("features"))
    table = read_json(derived / "dataset_fingerprint.json")
    table["label_counts"], table["slice_label_counts"] = {"unknown": 10}, [0, 0]
    write_json(derived / "dataset_fingerprint.json", table)
    with pytest.raises(UsageError, match="found 0 healthy cases and 0 normal slices"):
        Fold(raw, derived, tmp_path / "results", "anyad", "0")


def test_the_test_set_is_never_trained_on(home: Workspace, tmp_path: Path) -> None:
    raw = tmp_path / "raw" / NAME
    shutil.copytree(home.raw / NAME, raw)
    table = [
        {**row, "subset": "test" if row["case_id"] == "phantom_002" else ""}
        for row in rows(raw / "cases.csv")
    ]
    write_csv(raw / "cases.csv", list(table[0]), table)
    assert read_dataset(raw).test_case_ids == {"phantom_002"}
    derived = tmp_path / "derived"
    shutil.copytree(home.preprocessed / NAME, derived, ignore=shutil.ignore_patterns("splits*"))
    for fold in ("0", "1", "all"):
        found = Fold(raw, derived, tmp_path, "anyad", fold)
        assert "phantom_002" not in (*found.train, *found.held_out)
