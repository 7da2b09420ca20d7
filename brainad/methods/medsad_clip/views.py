"""Several versions of each training slice, fixed beforehand so that frozen parts run once each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from batchgenerators.augmentations.color_augmentations import (
    augment_brightness_multiplicative,
    augment_gamma,
)
from batchgenerators.augmentations.spatial_transformations import augment_spatial
from numpy.typing import NDArray

from brainad.training.seeding import seed_everything, stream_seed

_ANGLE = np.pi / 16
_SCALE = (0.9, 1.1)
_BRIGHTNESS = (0.9, 1.1)
_GAMMA = (0.8, 1.25)


@dataclass(frozen=True)
class Views:
    """Which versions of a slice are seen: as it is, mirrored, and changed at random.

    Args:
        augmented: versions with a random rotation, size, brightness and gamma.
        mirrored: each version also with left and right exchanged.
        seed: of the random changes.
    """

    augmented: int
    mirrored: bool
    seed: int

    def __len__(self) -> int:
        return (1 + self.augmented) * (2 if self.mirrored else 1)

    def make(
        self, image: NDArray[np.float32], mask: NDArray[np.bool_], name: str, view: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return one version of a slice and of its lesion mask.

        Args:
            image: (rows, columns) in [0, 1], 0 outside the brain; rows run from left to right.
            mask: (rows, columns) bool.
            name: of the slice; another slice is changed differently.
            view: number of the version; 0 is the slice as it is.
        """
        version, flip = divmod(view, 2) if self.mirrored else (view, 0)
        if version:
            seed_everything(stream_seed(self.seed, "view", name, version))
            image, mask = _changed(image, mask)
        if flip:
            image, mask = image[::-1], mask[::-1]
        return np.ascontiguousarray(image), np.ascontiguousarray(mask)


def _changed(
    image: NDArray[np.float32], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Rotate, scale and change brightness and gamma; the background stays 0."""
    images, masks = augment_spatial(
        image[None, None],
        mask[None, None].astype(np.float32),
        patch_size=image.shape,
        do_elastic_deform=False,
        angle_x=(-_ANGLE, _ANGLE),
        scale=_SCALE,
        border_mode_data="constant",
        order_data=1,
        random_crop=False,
    )
    changed = augment_brightness_multiplicative(images[0], _BRIGHTNESS)
    changed = augment_gamma(changed, _GAMMA)
    clipped: NDArray[np.float32] = changed[0].clip(0, 1).astype(np.float32)
    return clipped, masks[0, 0] > 0.5
