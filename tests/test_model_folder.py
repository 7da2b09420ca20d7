from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainad import model_folder
from brainad.errors import UsageError
from brainad.files import content_hash
from brainad.model_folder import StoredModel, channel_names
from brainad.plan import Plan
from brainad.prediction import Calibration

STATE = {
    "tokens_1": np.arange(12, dtype=np.float16).reshape(3, 4).T,
    "offsets_1": np.array([0, 5, 9]),
    "empty": np.zeros((0, 4), dtype=np.float32),
    "grid": [6, 7, 8],
}


def model(plan: Plan, **changes: Any) -> StoredModel:
    calibration = Calibration(0.3, 0.7, "20 healthy cases", (0.1, 0.2))
    values = {"state": STATE, "calibration": calibration, "card": {"name": "bank"}, **changes}
    return StoredModel(plan, "codegraph3d", **values)


@pytest.fixture
def folder(tmp_path: Path, plan: Plan) -> Path:
    model_folder.write(tmp_path / "bank", model(plan))
    return tmp_path / "bank"


def change_card(folder: Path, **changes: Any) -> None:
    path = folder / "model_card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_model_comes_back(folder: Path, plan: Plan) -> None:
    stored = model_folder.read(folder)
    assert stored.plan == plan
    assert stored.configuration == "codegraph3d"
    assert stored.calibration == Calibration(0.3, 0.7, "20 healthy cases", (0.1, 0.2))
    assert stored.card["name"] == "bank"
    assert set(stored.state) == set(STATE)
    assert stored.state["grid"] == [6, 7, 8]
    for name in ("tokens_1", "offsets_1", "empty"):
        assert stored.state[name].dtype == np.asarray(STATE[name]).dtype
        assert np.array_equal(stored.state[name], np.asarray(STATE[name]))


def test_a_model_may_have_neither_state_nor_thresholds(tmp_path: Path, plan: Plan) -> None:
    model_folder.write(tmp_path / "bare", model(plan, state={}, calibration=None))
    stored = model_folder.read(tmp_path / "bare")
    assert stored.state == {}
    assert stored.calibration is None


def test_the_same_model_has_the_same_bytes_and_name(folder: Path, plan: Plan) -> None:
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    name = model_folder.read(folder).model_id
    model_folder.write(folder, model(plan))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert model_folder.read(folder).model_id == name
    model_folder.write(folder, model(plan, state={**STATE, "grid": [6, 7, 9]}))
    assert model_folder.read(folder).model_id != name


def test_other_files_of_the_folder_stay(folder: Path, plan: Plan) -> None:
    (folder / "progress.png").write_bytes(b"picture")
    model_folder.write(folder, model(plan, calibration=None))
    assert (folder / "progress.png").read_bytes() == b"picture"
    assert not (folder / "calibration.json").exists()
    assert model_folder.read(folder).calibration is None


def test_other_thresholds_do_not_make_another_model(folder: Path) -> None:
    before = model_folder.read(folder)
    model_folder.write_calibration(folder, Calibration(0.5, 0.9, "others"))
    after = model_folder.read(folder)
    assert after.calibration == Calibration(0.5, 0.9, "others")
    assert after.model_id == before.model_id
    assert after.card["name"] == before.card["name"]
    with pytest.raises(UsageError, match="not a model folder"):
        model_folder.write_calibration(folder.parent, Calibration(0.5, 0.9, "others"))


def test_the_card_names_every_file_with_its_hash(folder: Path) -> None:
    hashes = json.loads((folder / "model_card.json").read_text())["sha256"]
    others = {path.name for path in folder.iterdir()} - {"model_card.json"}
    assert set(hashes) == others
    assert hashes["plans.json"] == content_hash(folder / "plans.json")


@pytest.mark.parametrize(
    "name", ["state.safetensors", "state.json", "plans.json", "calibration.json"]
)
def test_a_changed_or_missing_file_is_refused(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + b"x")
    with pytest.raises(UsageError, match=f"{name} does not match its SHA-256"):
        model_folder.read(folder)
    (folder / name).unlink()
    with pytest.raises(UsageError, match=f"file {name} is missing"):
        model_folder.read(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "sub/file", ".."])
def test_a_card_cannot_name_files_elsewhere(folder: Path, name: str) -> None:
    secret = folder.parent / "secret"
    secret.write_text("x")
    hashes = json.loads((folder / "model_card.json").read_text())["sha256"]
    change_card(folder, sha256={**hashes, name: content_hash(secret)})
    with pytest.raises(UsageError, match="is missing"):
        model_folder.read(folder)


@pytest.mark.parametrize("left", [(), ("plans.json",), ("plans.json", "state.json")])
def test_a_card_that_does_not_vouch_for_all_files_is_refused(
    folder: Path, left: tuple[str, ...]
) -> None:
    hashes = json.loads((folder / "model_card.json").read_text())["sha256"]
    change_card(folder, sha256={name: hashes[name] for name in left})
    with pytest.raises(UsageError, match="names no SHA-256 for"):
        model_folder.read(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model_card.json", "[1]", "this is no model card"),
        ("model_card.json", '{"sha256": ["plans.json"]}', "this is no model card"),
        ("model_card.json", '{"format_version": 1}', "names no configuration"),
        ("model_card.json", '{"format_version": 1, "configuration": ["x"]}', "no configuration"),
        ("state.json", "[1]", "the state cannot be read"),
    ],
)
def test_json_of_another_shape_is_refused(
    folder: Path, name: str, content: str, message: str
) -> None:
    (folder / name).write_text(content)
    if name != "model_card.json":
        hashes = json.loads((folder / "model_card.json").read_text())["sha256"]
        change_card(folder, sha256={**hashes, name: content_hash(folder / name)})
    with pytest.raises(UsageError, match=message):
        model_folder.read(folder)


def test_another_format_is_refused(folder: Path) -> None:
    change_card(folder, format_version=2)
    with pytest.raises(UsageError, match="format 2; this version reads 1"):
        model_folder.read(folder)


def test_a_damaged_state_is_refused_even_if_its_hash_is_right(folder: Path) -> None:
    path = folder / "state.safetensors"
    path.write_bytes(b"nonsense")
    hashes = json.loads((folder / "model_card.json").read_text())["sha256"]
    change_card(folder, sha256={**hashes, path.name: content_hash(path)})
    with pytest.raises(UsageError, match="the state cannot be read"):
        model_folder.read(folder)


@pytest.mark.parametrize("place", [".", "nothing"])
def test_another_folder_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(UsageError, match="not a model folder") as caught:
        model_folder.read(tmp_path / place)
    assert "brainad_build_bank" in caught.value.fix


def test_a_failed_write_leaves_the_old_model(folder: Path, plan: Plan) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        model_folder.write(folder, model(plan, state={"grid": float("nan")}))
    assert model_folder.read(folder).state["grid"] == [6, 7, 8]
    assert [path.name for path in folder.parent.iterdir()] == ["bank"]


@pytest.mark.parametrize("listed", [["T1"], {"first": "T1"}, 3])
def test_channel_names_of_a_damaged_card_are_refused(listed: object) -> None:
    with pytest.raises(UsageError, match="channel_names of the card holds") as caught:
        channel_names({"channel_names": listed}, "model")
    assert caught.value.where == "model"


def test_cards_that_name_no_numbers_are_older_and_good() -> None:
    assert channel_names({}, "model") == {}
    assert channel_names({"channel_names": {"1": "FLAIR"}}, "model") == {1: "FLAIR"}
