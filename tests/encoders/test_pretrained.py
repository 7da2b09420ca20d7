from __future__ import annotations

from pathlib import Path

import pytest
from transformers import CLIPModel

from brainad.encoders.pretrained import load_pretrained, model_type
from brainad.errors import UsageError


def test_a_saved_model_is_loaded_in_silence(
    clip_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert model_type(clip_folder) == "clip"
    capsys.readouterr()
    model = load_pretrained(CLIPModel, clip_folder)
    assert model.config.projection_dim == 12
    assert capsys.readouterr() == ("", "")


def test_truncated_weights_are_refused(clip_folder: Path) -> None:
    file = clip_folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UsageError, match="cannot be read") as caught:
        load_pretrained(CLIPModel, clip_folder)
    assert caught.value.where == str(clip_folder)
