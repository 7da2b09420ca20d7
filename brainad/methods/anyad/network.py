"""Everything after the encoder: prototypes, bottleneck and prototype-guided decoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from brainad.methods.anyad.attention import Mlp, PrototypeDecoderBlock, PrototypeExtractor

_INITIAL_STD = 0.01


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What the network says about a batch of images.

    Args:
        shallow: (B, N, C) De0, to be compared with the shallow group En0.
        deep: (B, N, C) De1, to be compared with the deep group En1.
        tokens: (B, N, C) fused input X.
        prototypes: (B, T, C) P of each image.
    """

    shallow: Tensor
    deep: Tensor
    tokens: Tensor
    prototypes: Tensor


class Reconstructor(nn.Module):
    """Rebuilds two groups of encoder features from the prototypes of the image itself.

    Args:
        width: of an encoder token, C.
        heads: of the attentions, h.
        prototypes: number T.
        blocks: decoder blocks, even; the paper has 8.
    """

    def __init__(self, width: int, heads: int, prototypes: int, blocks: int) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(prototypes, width))
        self.bottleneck = Mlp(width)
        self.extractor = PrototypeExtractor(width, heads)
        self.decoder = nn.ModuleList(PrototypeDecoderBlock(width, heads) for _ in range(blocks))
        self.apply(_initialise)

    def forward(self, shallow: Tensor, deep: Tensor) -> Reconstruction:
        """Rebuild the two groups; no gradient flows into them.

        Args:
            shallow: (B, N, C) En0, mean of the shallow half of the layers.
            deep: (B, N, C) En1, mean of the deep half.
        """
        tokens = ((shallow + deep) / 2).detach()
        prototypes = self.extractor(self.prototypes, tokens)
        state = self.bottleneck(tokens)
        outputs = []
        for block in self.decoder:
            state = block(state, prototypes)
            outputs.append(state)
        half = len(outputs) // 2
        # The last blocks stand for the encoder's first layers (2.6).
        return Reconstruction(
            shallow=torch.stack(outputs[half:]).mean(0),
            deep=torch.stack(outputs[:half]).mean(0),
            tokens=tokens,
            prototypes=prototypes,
        )


def _initialise(module: nn.Module) -> None:
    """Start linear weights small, so that the first reconstruction is near nothing (2.7)."""
    if isinstance(module, nn.Linear):
        bound = 3 * _INITIAL_STD
        nn.init.trunc_normal_(module.weight, std=_INITIAL_STD, a=-bound, b=bound)
        nn.init.zeros_(module.bias)
