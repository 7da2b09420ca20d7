from __future__ import annotations

import numpy as np

from brainad.case import TrainingCase
from brainad.methods.rasalore.crops import HALF, CropMaker
from brainad.methods.rasalore.examples import Example
from brainad.training.session import MemorySession


def test_images_and_masks_share_a_window(cohort: list[TrainingCase]) -> None:
    examples = [Example(0, 10, True), Example(1, 3, False)]
    lesion = np.where(cohort[0].case.images["T2"][:, :, 10] > 0.9, np.uint8(255), np.uint8(0))
    empty = np.zeros_like(lesion)
    maker = CropMaker(("T2", "FLAIR"), axis=2, image=32, mask=64)
    crops = maker.cut(cohort, examples, [lesion, empty], [empty, empty], MemorySession(), "key")
    assert crops.images.shape == (2, 2, 32, 32)
    assert crops.present.tolist() == [[True, True], [True, False]]
    assert crops.anomalous.tolist() == [True, False]
    assert not crops.images[1, 1].any()
    bright = crops.images[0, 0] > 150
    drawn = crops.small[0] > HALF
    assert 2 * (bright & drawn).sum() / (bright.sum() + drawn.sum()) > 0.9
    share = (crops.large[0] > HALF).mean()
    assert abs(share - drawn.mean()) < 0.01
    assert not crops.segmenter.any()
    # The window ends where the brain does.
    assert crops.images[0, 0][:, [0, 31]].any()
    assert crops.images[0, 0][[0, 31]].any()
