from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from brainad.dataset_description import read_description
from brainad.errors import UsageError

VALID: dict[str, Any] = {
    "channel_names": {"0": "T1w", "1": "t2f"},
    "labels": {"background": 0, "oedema": 1, "core": [1, 2]},
    "numTraining": 3,
    "file_ending": ".nii.gz",
}


def write(folder: Path, content: Any) -> Path:
    path = folder / "dataset.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_plain_description(tmp_path: Path) -> None:
    found = read_description(write(tmp_path, VALID))
    assert found.channel_names == {0: "T1", 1: "FLAIR"}
    assert found.label_values == {0, 1, 2}
    assert found.anomaly_labels == {1, 2}
    assert found.case_count == 3
    assert found.options.required_channels is None
    assert found.warnings == ()


def test_old_key_for_channels(tmp_path: Path) -> None:
    content = {**VALID, "modality": {"0": "FLAIR"}}
    del content["channel_names"]
    assert read_description(write(tmp_path, content)).channel_names == {0: "FLAIR"}


def test_names_that_choose_a_normalisation_stay_apart(tmp_path: Path) -> None:
    content = {**VALID, "channel_names": {"0": "zscore", "1": "zscore"}}
    found = read_description(write(tmp_path, content))
    assert found.channel_names == {0: "zscore", 1: "zscore_0001"}
    assert len(found.warnings) == 2


def test_ignored_label_is_no_anomaly(tmp_path: Path) -> None:
    content = {**VALID, "labels": {"background": 0, "lesion": 1, "ignore": 2}}
    found = read_description(write(tmp_path, content))
    assert found.label_values == {0, 1, 2}
    assert found.anomaly_labels == {1}


def test_options_block(tmp_path: Path) -> None:
    block = {
        "required_channels": ["T1"],
        "channel_aliases": {"T1": ["spgr"]},
        "anomaly_labels": [2],
        "skull_stripped": True,
        "axis": "coronal",
    }
    content = {**VALID, "channel_names": {"0": "SPGR"}, "brainad": block}
    found = read_description(write(tmp_path, content))
    assert found.channel_names == {0: "T1"}
    assert found.anomaly_labels == {2}
    assert found.options.required_channels == ("T1",)
    assert found.options.skull_stripped is True
    assert found.options.axis == "coronal"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channel_names": None}, "channel_names"),
        ({"channel_names": {"T1": "0000"}}, "channel_names"),
        ({"channel_names": {"0": "T1.post"}}, "T1.post"),
        ({"labels": None}, "labels"),
        ({"labels": {"background": "zero"}}, "background"),
        ({"file_ending": ".png"}, "file_ending"),
        ({"dataset": []}, "dataset"),
        ({"brainad": {"required_chanels": []}}, "required_chanels"),
        ({"brainad": {"axis": "oblique"}}, "axis"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path, {**VALID, **change})
    with pytest.raises(UsageError, match=message) as caught:
        read_description(path)
    assert caught.value.where == str(path)
    assert caught.value.fix


def test_file_that_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match="JSON"):
        read_description(path)
    with pytest.raises(UsageError, match="object"):
        read_description(write(tmp_path, []))
