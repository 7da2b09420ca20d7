from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from brainad.encoders.sentence_encoder import load_sentence_encoder
from brainad.encoders.weights import find_weights
from brainad.errors import UsageError

CPU = torch.device("cpu")


def test_embedded_weights_know_what_words_mean(weights_folder: Path) -> None:
    tower = load_sentence_encoder(find_weights("all_minilm_l6_v2", weights_folder), CPU)
    features = F.normalize(
        tower.encode_words(["a brain tumour", "a lesion in the head", "a bowl of soup"]), dim=-1
    )
    near, far = float(features[0] @ features[1]), float(features[0] @ features[2])
    assert near > far + 0.2
    assert (tower.width, tower.out_width, tower.context) == (384, 384, 512)
    assert tower.tokenise("Unhealthy brain") == [*tower.tokenise("unhealthy"), 4167]


def test_another_architecture_is_refused(clip_folder: Path) -> None:
    with pytest.raises(UsageError, match="'clip'"):
        load_sentence_encoder(clip_folder, CPU)
