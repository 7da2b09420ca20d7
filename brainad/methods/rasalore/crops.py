"""What stage 2 sees of every training slice: crops of images and masks, in eight bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainad.case import TrainingCase
from brainad.method import Session
from brainad.methods.rasalore.crop import brain_window
from brainad.methods.rasalore.examples import Example, grey_slices, rows_by_case
from brainad.methods.rasalore.grey import Grey, gamma_corrected

HALF = 127.5


@dataclass(frozen=True, eq=False)
class Crops:
    """Training slices in the frame of their window around the brain.

    Args:
        images: (n, channels, image, image), gamma-corrected; 0 where a channel is missing.
        present: (n, channels) bool.
        small: (n, image, image) pseudo masks, 0 … 255.
        large: (n, mask, mask) pseudo masks, 0 … 255.
        segmenter: (n, mask, mask) masks of the promptable segmenter, 0 … 255.
        anomalous: (n,) bool.
    """

    images: NDArray[np.uint8]
    present: NDArray[np.bool_]
    small: NDArray[np.uint8]
    large: NDArray[np.uint8]
    segmenter: NDArray[np.uint8]
    anomalous: NDArray[np.bool_]


@dataclass(frozen=True)
class CropMaker:
    """Cuts crops.

    Args:
        channels: the first is the bridge, which the windows follow.
        axis: that slices count along.
        image: edge of an image crop in pixels.
        mask: edge of a mask crop in pixels.
    """

    channels: tuple[str, ...]
    axis: int
    image: int
    mask: int

    def cut(
        self,
        cases: Sequence[TrainingCase],
        examples: Sequence[Example],
        weak: Sequence[Grey],
        segmenter: Sequence[Grey],
        session: Session,
        key: str,
    ) -> Crops:
        """Cut the crops of all examples.

        Args:
            cases: of the training.
            examples: of both classes.
            weak: pseudo mask of each example, (rows, columns) 0 or 255.
            segmenter: mask of the promptable segmenter of each example.
            session: lends disk space.
            key: identifies examples and masks.
        """
        count, channels = len(examples), len(self.channels)

        def lend(name: str, *shape: int) -> NDArray[np.uint8]:
            return session.array(f"rasalore/crops/{name}", key, (count, *shape), "uint8")

        crops = Crops(
            lend("images", channels, self.image, self.image),
            np.zeros((count, channels), dtype=np.bool_),
            lend("small", self.image, self.image),
            lend("large", self.mask, self.mask),
            lend("segmenter", self.mask, self.mask),
            np.array([example.anomalous for example in examples], dtype=np.bool_),
        )
        for number, rows in rows_by_case(examples).items():
            case = cases[number].case
            bright = {
                channel: gamma_corrected(grey_slices(case, name, self.axis))
                for channel, name in enumerate(self.channels)
                if name in case.images
            }
            for row in rows:
                index = examples[row].index
                window = brain_window(bright[0][index])
                for channel, slices in bright.items():
                    crops.present[row, channel] = True
                    crops.images[row, channel] = window.cut(slices[index], self.image)
                crops.small[row] = window.cut(weak[row], self.image)
                crops.large[row] = window.cut(weak[row], self.mask)
                crops.segmenter[row] = window.cut(segmenter[row], self.mask)
        return crops
