from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brainad.cli import phantoms
from brainad.cli.phantoms import main
from brainad.files import read_json
from brainad.nifti import read_volume
from brainad.phantom import PhantomOptions
from brainad.pipeline.cases import Failure, Outcome
from brainad.pipeline.executors import Executor, Processes
from brainad.pipeline.phantoms import Cohort

Command = Callable[..., tuple[int, str, str]]

COARSE = ("-spacing_mm", "6", "6", "6")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Cohort, Executor]]:
    """Note which cohorts are asked for, and where they are made; none is made."""
    seen = []

    def remember(cohort: Cohort, _watch: Any, executor: Executor) -> list[Outcome]:
        seen.append((cohort, executor))
        failure = Failure("phantom", "DataError", "no room", "", "")
        return [Outcome("a", 1.0), Outcome("b", 1.0, failure if cohort.seed == 9 else None)]

    monkeypatch.setattr(phantoms, "write_cohort", remember)
    return seen


def test_the_defaults_are_the_benchmark(
    command: Command, asked: list[tuple[Cohort, Executor]], tmp_path: Path
) -> None:
    code, shown, _ = command(main, "-o", tmp_path / "Dataset1")
    assert (code, shown) == (0, f"2 phantoms in {tmp_path / 'Dataset1'}\n")
    options = PhantomOptions(channels=("T2",), lesion="glioma")
    assert asked[0][0] == Cohort(tmp_path / "Dataset1", options, 16, 8, 0)


def test_every_flag_reaches_the_phantoms(
    command: Command, asked: list[tuple[Cohort, Executor]], tmp_path: Path
) -> None:
    code, _, _ = command(
        main, "-o", tmp_path, "-healthy", "2", "-unhealthy", "1", "-lesion", "metastases",
        "-radius_mm", "4", "5", "-channels", "T1", "FLAIR", "-spacing_mm", "1", "2", "5",
        "-oblique_degrees", "12", "--random_orientation", "-head", tmp_path / "head.nii.gz",
        "-seed", "7", "-np", "3",
    )  # fmt: skip
    assert code == 0
    options = PhantomOptions(
        channels=("T1", "FLAIR"),
        lesion="metastases",
        lesion_radius_mm=(4.0, 5.0),
        spacing_mm=(1.0, 2.0, 5.0),
        oblique_degrees=12.0,
        random_orientation=True,
        head=tmp_path / "head.nii.gz",
    )
    assert asked == [(Cohort(tmp_path, options, 2, 1, 7), Processes(3))]


def test_a_phantom_that_failed_changes_the_exit_code(
    command: Command, asked: list[tuple[Cohort, Executor]], tmp_path: Path
) -> None:
    assert command(main, "-o", tmp_path, "-seed", "9")[0] == 3
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("-lesion", "tumour"), "invalid choice"),
        (("-channels", "CT"), "phantom option channels"),
        (("-spacing_mm", "20", "20", "20"), "0.5 to 10 mm"),
        (("-healthy", "-1"), "must not be negative"),
        (("-healthy", "0", "-unhealthy", "0"), "ask for at least one phantom"),
    ],
)
def test_what_cannot_be_made_is_refused(
    command: Command, tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    code, _, messages = command(main, "-o", tmp_path / "new", *flags)
    assert code == 2
    assert message in messages
    assert not (tmp_path / "new").exists()


def test_a_dataset_is_made(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "Dataset007_Few"
    counts = ("-healthy", "1", "-unhealthy", "1", "-np", "1")
    assert command(main, "-o", folder, *counts, *COARSE)[0] == 0
    assert read_json(folder / "dataset.json")["numTraining"] == 2
    assert read_volume(folder / "labelsTr" / "phantom_001.nii.gz").data.any()
    code, _, messages = command(main, "-o", folder, *counts, *COARSE, "-seed", "3")
    assert code == 2
    assert "phantoms that were made with other options" in messages
