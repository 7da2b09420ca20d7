"""The image side of a vision-language encoder: frozen blocks between which a method may reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Block:
    """One frozen pre-norm transformer block.

    Args:
        module: (n, tokens, width) → the same.
        norm: applied before the attention.
        queries: linear map to the queries of all heads.
        keys: linear map to the keys of all heads.
        heads: number of heads.
    """

    module: nn.Module
    norm: nn.Module
    queries: nn.Module
    keys: nn.Module
    heads: int

    def __call__(self, tokens: Tensor) -> Tensor:
        """Run the block on any number of tokens: (n, tokens, width) → the same."""
        result: Tensor = self.module(tokens, attention_mask=None)
        return result

    def attention(self, tokens: Tensor) -> Tensor:
        """Return the attention probabilities that the block uses, averaged over its heads.

        Args:
            tokens: (n, tokens, width) that enter the block.

        Returns:
            (n, tokens, tokens); each row sums to 1.
        """
        normed = self.norm(tokens)
        queries, keys = (
            project(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.queries, self.keys)
        )
        weights = queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5
        probabilities: Tensor = weights.softmax(-1).mean(1)
        return probabilities


@dataclass(frozen=True, eq=False)
class ImageTower:
    """Frozen vision transformer that a method runs block by block.

    Tokens are (n, leading + patches, width): the class token, registers if there are any, then
    the patches in row-major order. Between blocks a method may append tokens of its own or
    change the stream; parameters here never get a gradient, what is put in does.

    Args:
        stem: (n, 3, height, width) normalised pixels → tokens that enter the first block.
        blocks: in order.
        head: final norm and projection of class or patch tokens: (..., width) → (..., out_width).
        width: of a token.
        out_width: of what `head` returns.
        patch_size: pixels along the edge of a patch.
        leading: tokens before the first patch.
        native_size: edge in pixels of the images it was trained with.
        mean: of the three colour channels in pre-training.
        std: of the three colour channels in pre-training.
        device: where it computes.
    """

    stem: Callable[[Tensor], Tensor]
    blocks: Sequence[Block]
    head: Callable[[Tensor], Tensor]
    width: int
    out_width: int
    patch_size: int
    leading: int
    native_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: torch.device

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def grid(self, images: Tensor) -> tuple[int, int]:
        """Return the rows and columns of patches of (..., height, width) images."""
        height, width = images.shape[-2:]
        return height // self.patch_size, width // self.patch_size

    def embed(self, images: Tensor) -> Tensor:
        """Return the tokens that enter the first block.

        Args:
            images: (n, height, width) grey or (n, 3, height, width), in [0, 1]; any size that is
                a multiple of the patch size.

        Returns:
            (n, leading + patches, width).

        Raises:
            ValueError: a size is not a multiple of the patch size.
        """
        if images.ndim == 3:
            images = images[:, None].expand(-1, 3, -1, -1)
        if any(size % self.patch_size for size in images.shape[-2:]):
            raise ValueError(
                f"images must come in multiples of {self.patch_size} pixels, "
                f"not {tuple(images.shape[-2:])}"
            )
        images = images.to(self.device)
        mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return self.stem((images - mean) / std)

    def run(self, tokens: Tensor, start: int, stop: int) -> Tensor:
        """Run blocks ``start`` (from 0) to before ``stop`` without changes in between."""
        for block in self.blocks[start:stop]:
            tokens = block(tokens)
        return tokens

    def patches(self, tokens: Tensor) -> Tensor:
        """Return (n, patches, width) tokens without the leading ones."""
        return tokens[:, self.leading :]


def resize_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Fit a table of position embeddings to another grid of patches.

    The class row stays; the rest is interpolated (bicubic, corners not aligned, antialiased).

    Args:
        positions: (1 + side², width), class row first, then row-major.
        grid: rows and columns wanted.

    Returns:
        (1 + rows * columns, width).
    """
    side = round((positions.shape[0] - 1) ** 0.5)
    if grid == (side, side):
        return positions
    table = positions[1:].T.reshape(1, -1, side, side)
    fitted = F.interpolate(table, size=grid, mode="bicubic", align_corners=False, antialias=True)
    return torch.cat([positions[:1], fitted.flatten(2)[0].T])
