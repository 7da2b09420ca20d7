"""From a volume to its tokens: slices along several views, pooled on one common grid.

A cell is a cube of ``patch`` voxels; cells lie on a grid (nx, ny, nz). A token describes one
cell that holds brain: for each view the mean feature of the slices through the cell,
l2-normalised and projected, one view after the other (CoDeGraph3D, arXiv 2602.15315, section 3).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainad.errors import DataError
from brainad.methods.codegraph3d.neighbourhood import masked_box_mean
from brainad.methods.codegraph3d.projection import projection_matrix
from brainad.methods.codegraph3d.slice_selection import slice_groups

View = Literal["axial", "coronal", "sagittal"]
SliceEncoder = Callable[[Tensor], Sequence[Tensor]]
"""Images (n, h, w) float32 in 0..1 → per layer (n, h / patch, w / patch, D) patch features."""

SLICING_AXIS: dict[View, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
NORM_EPSILON = 1e-6


@dataclass(frozen=True)
class TokenSettings:
    """How a volume becomes tokens.

    Args:
        layers: numbers of the encoder's transformer blocks, from 1, in the encoder's order.
        patch: voxels along the edge of a cell, which `encode` turns into one patch.
        views: views whose features are joined, in this order.
        slices_per_block: encoder images per block of ``patch`` slices; ``patch`` is the paper.
        average_neighbours: show the encoder means of neighbouring slices, not single slices.
        neighbourhood: 1, or 3 to average features over the 3 x 3 x 3 kept cells around.
        projected_width: length k of a projected feature.
        min_brain_fraction: keep cells with at least this share of brain; 0 keeps any brain.
        batch: images per encoder call.
    """

    layers: tuple[int, ...]
    patch: int = 14
    views: tuple[View, ...] = ("axial", "coronal", "sagittal")
    slices_per_block: int = 14
    average_neighbours: bool = False
    neighbourhood: int = 1
    projected_width: int = 128
    min_brain_fraction: float = 0.0
    batch: int = 8


@dataclass(frozen=True, eq=False)
class CaseTokens:
    """The tokens of one volume.

    Args:
        layers: per layer (N, views * k) float32 on the CPU.
        cells: (nx, ny, nz) bool; token i belongs to the i-th true cell in C order.
    """

    layers: tuple[Tensor, ...]
    cells: NDArray[np.bool_]


def brain_fraction(brain: NDArray[np.bool_], patch: int) -> NDArray[np.float64]:
    """Measure the share of brain voxels in every cell.

    Args:
        brain: (x, y, z) bool, each axis a multiple of ``patch``.
        patch: voxels along the edge of a cell.

    Returns:
        (nx, ny, nz) float64 in 0..1.

    Raises:
        ValueError: an axis is not a multiple of ``patch``.
    """
    if any(size % patch for size in brain.shape):
        raise ValueError(f"shape {brain.shape} is not a multiple of the patch, {patch}")
    nx, ny, nz = (size // patch for size in brain.shape)
    fraction: NDArray[np.float64] = brain.reshape(nx, patch, ny, patch, nz, patch).mean((1, 3, 5))
    return fraction


def kept_cells(brain: NDArray[np.bool_], patch: int, min_fraction: float) -> NDArray[np.bool_]:
    """Choose the cells that become tokens: (nx, ny, nz) bool.

    Args:
        brain: (x, y, z) bool, each axis a multiple of ``patch``.
        patch: voxels along the edge of a cell.
        min_fraction: smallest share of brain; 0 keeps every cell with a brain voxel.
    """
    fraction = brain_fraction(brain, patch)
    return (fraction > 0) & (fraction >= min_fraction)


class Tokeniser:
    """Turns volumes into tokens, streaming slices through a frozen encoder.

    Args:
        encode: patch features of a batch of slices, one tensor per layer.
        settings: views, pooling and projection.
    """

    def __init__(self, encode: SliceEncoder, settings: TokenSettings) -> None:
        self._encode = encode
        self._settings = settings
        self._empty_features: dict[tuple[int, int], list[Tensor]] = {}

    @torch.inference_mode()
    def tokenise(self, image: NDArray[np.float32], brain: NDArray[np.bool_]) -> CaseTokens:
        """Describe every cell that holds brain.

        Args:
            image: (x, y, z) float32 in 0..1, 0 outside the brain.
            brain: (x, y, z) bool; every axis is a multiple of the patch.

        Raises:
            DataError: no cell holds enough brain.
            ValueError: an axis is not a multiple of the patch.
        """
        settings = self._settings
        cells = kept_cells(brain, settings.patch, settings.min_brain_fraction)
        if not cells.any():
            raise DataError("no cell of the working grid holds brain", fix="check the brain mask")
        views = [self._view_tokens(image, cells, SLICING_AXIS[view]) for view in settings.views]
        return CaseTokens(tuple(torch.cat(layer, 1) for layer in zip(*views, strict=True)), cells)

    def _view_tokens(
        self, image: NDArray[np.float32], cells: NDArray[np.bool_], axis: int
    ) -> list[Tensor]:
        """Pool, normalise and project one view: per layer (N, k) on the CPU."""
        blocks = np.flatnonzero(cells.any(axis=tuple({0, 1, 2} - {axis})))
        pooled = self._pool(np.moveaxis(image, axis, 0), blocks)
        position = np.argwhere(cells)
        slot = torch.from_numpy(np.searchsorted(blocks, position[:, axis]))
        row, column = torch.from_numpy(np.delete(position, axis, axis=1)).T
        tokens = []
        for number, features in zip(self._settings.layers, pooled, strict=True):
            of_cell = features[slot, row, column]
            if self._settings.neighbourhood > 1:
                of_cell = masked_box_mean(of_cell, cells, self._settings.neighbourhood)
            tokens.append(self._project(of_cell, number).cpu())
        return tokens

    def _pool(self, planes: NDArray[np.float32], blocks: NDArray[np.intp]) -> list[Tensor]:
        """Average the features of each block's images.

        Args:
            planes: (slices, h, w), the slicing axis first.
            blocks: numbers of the blocks that hold kept cells.

        Returns:
            Per layer (blocks, h / patch, w / patch, D).
        """
        settings = self._settings
        groups = slice_groups(
            settings.patch, settings.slices_per_block, settings.average_neighbours
        )
        images = (
            (slot, planes[block * settings.patch + group].mean(axis=0))
            for slot, block in enumerate(blocks)
            for group in groups
        )
        empty = torch.full((len(blocks),), float(len(groups)))
        totals: list[Tensor] | None = None
        filled = ((slot, pixels) for slot, pixels in images if pixels.any())
        for batch in _batches(filled, settings.batch):
            slots = torch.tensor([slot for slot, _ in batch])
            member = (torch.arange(len(blocks))[:, None] == slots).float()
            empty -= member.sum(1)
            features = self._encode(torch.from_numpy(np.stack([pixels for _, pixels in batch])))
            sums = [torch.tensordot(member.to(f.device), f.float(), 1) for f in features]
            totals = sums if totals is None else [t + s for t, s in zip(totals, sums, strict=True)]
        return self._add_empty(totals, empty, planes.shape[1:], len(groups))

    def _add_empty(
        self, totals: list[Tensor] | None, empty: Tensor, shape: tuple[int, ...], count: int
    ) -> list[Tensor]:
        """Add the features of the slices without brain, then divide by the images per block."""
        if not empty.any():
            assert totals is not None, "a block without empty images has encoded ones"
            return [total / count for total in totals]
        height, width = shape
        if (height, width) not in self._empty_features:
            features = self._encode(torch.zeros(1, height, width))
            self._empty_features[height, width] = [f.float() for f in features]
        weights = empty[:, None, None, None]
        parts = [weights.to(f.device) * f for f in self._empty_features[height, width]]
        if totals is None:
            return [part / count for part in parts]
        return [(total + part) / count for total, part in zip(totals, parts, strict=True)]

    def _project(self, features: Tensor, layer: int) -> Tensor:
        """Normalise (N, D) to unit length, then project to (N, k)."""
        matrix = projection_matrix(features.shape[1], self._settings.projected_width, layer)
        return unit_length(features) @ torch.from_numpy(matrix).to(features.device)


def unit_length(features: Tensor) -> Tensor:
    """Divide vectors (..., D) by their length plus 1e-6."""
    length = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
    unit: Tensor = features / (length + NORM_EPSILON)
    return unit


def _batches(
    images: Iterator[tuple[int, NDArray[np.float32]]], size: int
) -> Iterator[list[tuple[int, NDArray[np.float32]]]]:
    """Cut a stream into lists of at most ``size``."""
    while batch := list(itertools.islice(images, size)):
        yield batch
