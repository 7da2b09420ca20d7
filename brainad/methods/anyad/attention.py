"""The two attentions of AnyAD: prototypes look at tokens, tokens look at prototypes.

Both inputs of a block share one layer norm (specification, sections 2.3 and 2.5).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPSILON = 1e-8
_MLP_RATIO = 4


class Mlp(nn.Module):
    """Linear to four times the width, GELU, linear back.

    Args:
        width: of the tokens.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, _MLP_RATIO * width)
        self.fc2 = nn.Linear(_MLP_RATIO * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        result: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return result


class _Projections(nn.Module):
    """Queries from one input, keys and values from the other, split into heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def split(self, asking: Tensor, asked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries (B, h, Nq, d), keys and values (B, h, Nk, d)."""
        key, value = self.kv(asked).chunk(2, dim=-1)
        query, key, value = (
            each.unflatten(-1, (self._heads, -1)).transpose(1, 2)
            for each in (self.q(asking), key, value)
        )
        return query, key, value

    def join(self, heads: Tensor) -> Tensor:
        """(B, h, N, d) → (B, N, C)."""
        joined: Tensor = self.proj(heads.transpose(1, 2).flatten(2))
        return joined


class PrototypeExtractor(nn.Module):
    """Intrinsic normal prototypes of an image, by softmax attention over its tokens (2.3).

    Args:
        width: C.
        heads: h.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.attn = _Projections(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.mlp = Mlp(width)

    def forward(self, start: Tensor, tokens: Tensor) -> Tensor:
        """Gather what is normal in an image.

        Args:
            start: (T, C) learned start prototypes.
            tokens: (B, N, C).

        Returns:
            (B, T, C).
        """
        prototypes = start.expand(tokens.shape[0], -1, -1)
        query, key, value = self.attn.split(self.norm1(prototypes), self.norm1(tokens))
        gathered = F.scaled_dot_product_attention(query, key, value)
        prototypes = prototypes + self.attn.join(gathered)
        result: Tensor = prototypes + self.mlp(self.norm2(prototypes))
        return result


class _LinearAttention(_Projections):
    """Cosine similarities, scaled per head, with negative ones cut off instead of a softmax."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.learn_scale = nn.Parameter(torch.ones(heads, 1, 1))

    def weights(self, query: Tensor, key: Tensor) -> Tensor:
        """Return (B, h, Nq, Nk) ReLU(s · cos(q, k))."""
        cosine = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)
        return F.relu(self.learn_scale * cosine)


class PrototypeDecoderBlock(nn.Module):
    """Rebuilds tokens from the prototypes alone (2.5).

    There is no residual around the attention: what no prototype explains is lost.

    Args:
        width: C.
        heads: h.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.attn = _LinearAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.mlp = Mlp(width)

    def forward(self, tokens: Tensor, prototypes: Tensor) -> Tensor:
        """Rebuild.

        Args:
            tokens: (B, N, C).
            prototypes: (B, T, C).

        Returns:
            (B, N, C).
        """
        query, key, value = self.attn.split(self.norm1(tokens), self.norm1(prototypes))
        rebuilt = self.attn.join(self.attn.weights(query, key) @ value)
        result: Tensor = rebuilt + self.mlp(self.norm2(rebuilt))
        return result
