from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from brainad.cli.best_configuration import main
from brainad.dataset import read_dataset
from brainad.files import read_json, write_json
from brainad.inference.outputs import Marker, OutputFolder
from brainad.nifti import read_volume
from brainad.pipeline import best_configuration
from brainad.pipeline.trained import VALIDATION_FOLDER, fold_folder, trainer_folder
from brainad.prediction import Result
from brainad.volume import Volume

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def flags(
    phantom_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str | Path, ...]:
    """Pretend that two configurations were trained: one guesses, one knows."""
    monkeypatch.setattr(best_configuration, "_RESAMPLES", 40)
    dataset = read_dataset(phantom_dataset)
    names = [case.case_id for case in dataset.cases]
    write_json(
        tmp_path / "preprocessed" / phantom_dataset.name / "splits_final.json",
        [{"train": [], "val": names}],
    )
    results = tmp_path / "results" / phantom_dataset.name
    for configuration, knows in (("anyad", False), ("medsad_clip", True)):
        folder = fold_folder(trainer_folder(results, configuration), "0")
        write_json(folder / "model_card.json", {})
        for number, case in enumerate(dataset.cases):
            scan = case.images["T2"]
            volume = read_volume(scan)
            nothing = Volume(volume.data * 0, volume.grid)
            mask = nothing if case.labels.mask is None else read_volume(case.labels.mask)
            drawn = Volume((mask.data > 0) & (not knows), volume.grid)
            ill = case.labels.label == "unhealthy"
            score = 0.6 + 0.01 * number if knows and ill else 0.3 - 0.01 * number
            result = Result(case.case_id, nothing, drawn, score, 1.0, 2, nothing.data[0, 0])
            row = {"case_id": case.case_id, "score": score}
            marker = Marker("key", row, 2, (), None, None)
            OutputFolder(folder / VALIDATION_FOLDER).deliver(result, scan, marker)
    return (
        *("--raw", phantom_dataset.parent, "--results", tmp_path / "results"),
        *("--preprocessed", tmp_path / "preprocessed"),
    )


def test_the_best_is_named_and_kept(
    command: Command, flags: tuple[str | Path, ...], phantom_dataset: Path, tmp_path: Path
) -> None:
    code, shown, said = command(main, "501", *flags)
    assert code == 0, said
    assert "best: medsad_clip" in shown
    path = tmp_path / "results" / phantom_dataset.name / "inference_information.json"
    assert read_json(path)["metric"] == "patient_auroc"
    assert read_json(path)["best_configuration"] == "medsad_clip"


def test_metric_and_choice_have_an_effect(command: Command, flags: tuple[str | Path, ...]) -> None:
    _, shown, _ = command(main, "501", "-metric", "dice", *flags)
    assert "best: anyad" in shown
    _, shown, _ = command(main, "501", "-c", "medsad_clip", *flags)
    assert "the only one" in shown
    code, _, said = command(main, "501", "-c", "rasalore", *flags)
    assert code == 2
    assert "not trained: rasalore" in said
