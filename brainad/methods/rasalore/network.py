"""The stage-2 network: encoder and decoder shared, one attention per channel (4, 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from brainad.methods.rasalore.attention import RegionAwareAttention
from brainad.methods.rasalore.decoder import MaskDecoder
from brainad.methods.rasalore.embeddings import draw_frequencies, location_embeddings
from brainad.methods.rasalore.encoder import ImageEncoder
from brainad.methods.rasalore.grey import Grey
from brainad.methods.rasalore.refiner import Refiner

# Of a channel in a fusion: what a channel that learnt nothing still counts.
_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True)
class NetworkSize:
    """Sizes of the network; the defaults are the published ones.

    Args:
        image: edge of the input in pixels; the mask has twice as many.
        points: candidate points per side.
        channels: output channels of the encoder's four blocks; the last is d.
        refiner: channels inside the refiner.
        activation: hidden widths of the activation head.
        upsampling: channels inside the decoder.
        heads: of both attentions.
        dropout: of encoder blocks and decoder.
    """

    image: int = 128
    points: int = 32
    channels: tuple[int, int, int, int] = (32, 64, 128, 256)
    refiner: tuple[int, int] = (64, 128)
    activation: tuple[int, int] = (128, 64)
    upsampling: tuple[int, int] = (128, 64)
    heads: int = 4
    dropout: float = 0.1

    @property
    def mask(self) -> int:
        """Edge of the mask in pixels."""
        return 2 * self.image


@dataclass(frozen=True, eq=False)
class Drawing:
    """What the network says about n slices.

    Args:
        logits: (n, mask, mask).
        activations: (n, points²) in 0 … 1, M_FFN.
        embeddings: (n, points², d), ξ_ESPE.
    """

    logits: Tensor
    activations: Tensor
    embeddings: Tensor

    @property
    def probabilities(self) -> Tensor:
        """(n, mask, mask) in 0 … 1, M_ANO."""
        return torch.sigmoid(self.logits)


class Rasalore(nn.Module):
    """The network.

    Args:
        size: of its parts.
        names: of the image channels; each has an attention of its own.
        seed: of the fixed point embeddings, which travel with the weights.
        integer_frequencies: as released; see `draw_frequencies`.

    Attributes:
        agreement: (channels,) how well each channel draws the masks that were learnt from, Dice.
        negative: (channels,) bool, of which channels the negative is `shown`.
    """

    points: Tensor
    agreement: Tensor
    negative: Tensor

    def __init__(
        self, size: NetworkSize, names: Sequence[str], seed: int, *, integer_frequencies: bool
    ) -> None:
        super().__init__()
        first, width = size.channels[0], size.channels[3]
        side = size.image // 2
        self.encoder = ImageEncoder(size.channels, size.dropout)
        self.refiner = Refiner(first, size.refiner, width)
        self.decoder = MaskDecoder(
            width, side, size.points**2, size.upsampling, size.heads, size.dropout
        )
        frequencies = draw_frequencies(width, seed, integer=integer_frequencies)
        self.register_buffer("points", location_embeddings(size.points, *frequencies))
        self.register_buffer("agreement", torch.ones(len(names)))
        self.register_buffer("negative", torch.zeros(len(names), dtype=torch.bool))
        self.apply(_initialise)
        # Drawn last, the bridge first: what the bridge learns alone does not depend on the others.
        self.attention = nn.ModuleDict(
            {
                name: RegionAwareAttention(width, side * side, size.heads, size.activation)
                for name in names
            }
        )

    def forward(self, images: Tensor, name: str) -> Drawing:
        """Draw the masks of slices of one image channel.

        Args:
            images: (n, 1, image, image) float, 0 … 255.
            name: of the image channel.
        """
        return self.draw({name: images})[name]

    def draw(self, images: Mapping[str, Tensor]) -> dict[str, Drawing]:
        """Draw the masks of slices of several image channels.

        The shared parts see all of them in one batch, so that batch statistics in training are
        those that the running statistics describe.

        Args:
            images: by name of the channel, (n, 1, image, image) float, 0 … 255; numbers may
                differ.
        """
        counts = [len(batch) for batch in images.values()]
        first, features = self.encoder(torch.cat(list(images.values())))
        refined = self.refiner(first).split(counts)
        seen = [self.attention[name](part, self.points) for name, part in zip(
            images, refined, strict=True)]  # fmt: skip
        logits = self.decoder(features, torch.cat([embeddings for embeddings, _ in seen]))
        return {
            name: Drawing(drawn, activations, embeddings)
            for name, drawn, (embeddings, activations) in zip(
                images, logits.split(counts), seen, strict=True
            )
        }

    def fuse(self, logits: Mapping[str, Tensor]) -> Tensor:
        """Average logits over channels; a channel weighs as much as it learnt to draw.

        Args:
            logits: by name of the channel, all of one shape.
        """
        weights = self.agreement[[self._number(name) for name in logits]].clamp(min=_LEAST_WEIGHT)
        shares = weights / weights.sum()
        return torch.einsum("c,c...->...", shares, torch.stack(list(logits.values())))

    def _number(self, name: str) -> int:
        return list(self.attention).index(name)

    def shown(self, name: str, crops: Grey) -> Grey:
        """Return what the network is to be shown of crops: themselves, or their negatives.

        Args:
            name: of the image channel.
            crops: (…, image, image); what is 0 lies outside the brain and stays 0.
        """
        if not self.negative[self._number(name)]:
            return crops
        return np.where(crops > 0, 255 - crops, crops)

    def copy_attention(self, source: str) -> None:
        """Start the attention of every other channel from that of one that is trained."""
        state = self.attention[source].state_dict()
        for attention in self.attention.values():
            attention.load_state_dict(state)


def _initialise(module: nn.Module) -> None:
    """Draw convolutions with standard deviation √(2 / fan-out) and zero bias (4.9).

    For transposed convolutions the release counts the inputs in place of the outputs.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
