from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from brainad.errors import UsageError
from brainad.training.checkpoint import load_state, save_state

STATE = {"epochs_done": 3, "parts": {"net": {"w": torch.arange(3.0)}, "rates": [0.1, None, "x"]}}


def test_a_state_comes_back(tmp_path: Path) -> None:
    save_state(tmp_path / "a.pth", STATE)
    state = load_state(tmp_path / "a.pth")
    assert torch.equal(state["parts"]["net"]["w"], torch.arange(3.0))
    assert state["parts"]["rates"] == [0.1, None, "x"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


def test_only_tensors_and_plain_values_are_kept(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"a\.parts\.net\[1\] is a ndarray"):
        save_state(tmp_path / "a.pth", {"parts": {"net": [1, np.zeros(2)]}})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_last_state(tmp_path: Path) -> None:
    save_state(tmp_path / "a.pth", STATE)
    with pytest.raises(TypeError):
        save_state(tmp_path / "a.pth", {"parts": object()})
    assert load_state(tmp_path / "a.pth")["epochs_done"] == 3


@pytest.mark.parametrize("kept", [0, 10, 500])
def test_a_damaged_file_is_told(tmp_path: Path, kept: int) -> None:
    save_state(tmp_path / "a.pth", STATE)
    content = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(content[:kept])
    with pytest.raises(UsageError, match="cannot be read") as caught:
        load_state(tmp_path / "a.pth")
    assert "train again" in caught.value.fix
