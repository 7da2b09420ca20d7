from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brainad.errors import UsageError
from brainad.files import read_json, write_json
from brainad.method import Scope
from brainad.pipeline.bank import BankReport, build_bank
from brainad.pipeline.cases import unwatched
from brainad.pipeline.dataset import PLAN_FILE, DatasetWork
from brainad.pipeline.folder import FolderOptions
from brainad.pipeline.model import Model, open_model
from brainad.pipeline.sources import model_from_plan
from brainad.plan import Resources

Build = Callable[..., BankReport]


@pytest.fixture
def bank(phantom_predictions: Path, tmp_path: Path) -> Path:
    """Name a bank whose scans were prepared and encoded before."""
    shutil.copytree(phantom_predictions / ".brainad", tmp_path / "bank.work")
    return tmp_path / "bank"


@pytest.fixture
def build(phantom_work: DatasetWork, resources: Resources, bank: Path) -> Build:
    choose = model_from_plan(phantom_work.derived / PLAN_FILE, "codegraph3d", resources)

    def run(source: Path, choose_model: Any = choose) -> BankReport:
        return build_bank(source, bank, choose_model, FolderOptions(), 0.2, unwatched)

    return run


def test_scans_with_flaws_and_broken_ones_are_left_out_with_the_reason(
    build: Build, bank: Path, phantom_work: DatasetWork, resources: Resources, tmp_path: Path
) -> None:
    source = Path(shutil.copytree(phantom_work.raw / "imagesTr", tmp_path / "scans"))
    shutil.copy2(phantom_work.raw / "dataset.json", source)
    (source / "broken_0000.nii.gz").write_bytes(b"no scan")
    record = bank.with_name("bank.work") / "prepared" / "phantom_002" / "record.json"
    write_json(record, {**read_json(record), "warnings": ["half a brain", "tilted"]})
    report = build(source)
    assert report.used == [f"phantom_{number:03d}" for number in (0, 1, 3, 4, 5, 6)]
    assert report.left_out.keys() == {"broken", "phantom_002"}
    assert report.left_out["phantom_002"] == "half a brain; tilted"
    assert "not a readable NIfTI file" in report.left_out["broken"]
    card = read_json(bank / "model_card.json")
    assert (card["cases"], card["intended_use"][:8]) == (6, "research")
    model = open_model(bank, resources)
    assert model.method.scope is Scope.CASE
    assert model.calibration is not None
    assert model.calibration.source == report.threshold_source
    assert len(model.calibration.healthy_scores) == 6


def test_flaws_may_leave_too_few(build: Build, bank: Path, healthy_scans: Path) -> None:
    record = bank.with_name("bank.work") / "prepared" / "phantom_001" / "record.json"
    write_json(record, {**read_json(record), "warnings": ["tilted"]})
    with pytest.raises(UsageError, match=r"^4 usable cases"):
        build(healthy_scans)
    assert not bank.exists()


def test_only_methods_that_encode_keep_a_bank(
    build: Build,
    phantom_work: DatasetWork,
    resources: Resources,
    healthy_scans: Path,
) -> None:
    path = phantom_work.derived / PLAN_FILE
    model: Model = model_from_plan(path, "codegraph3d", resources)(None)  # type: ignore[arg-type]
    other = replace(model, configuration="other", method=object())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="other keeps no bank"):
        build(healthy_scans, lambda _fingerprint: other)
