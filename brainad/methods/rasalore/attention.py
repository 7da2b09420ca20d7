"""Region-aware spatial attention (RASA) and its activation head (specification 4.5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ActivationHead(nn.Module):
    """Says of every candidate point whether it is active (M_FFN).

    Args:
        width: of an embedding.
        hidden: widths of the two hidden layers.
    """

    def __init__(self, width: int, hidden: Sequence[int]) -> None:
        super().__init__()
        first, second = hidden
        self.fc1 = nn.Linear(width, first)
        self.ln1 = nn.LayerNorm(first)
        self.fc2 = nn.Linear(first, second)
        self.ln2 = nn.LayerNorm(second)
        self.fc3 = nn.Linear(second, 1)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map (n, points, width) to (n, points) in 0 … 1."""
        hidden = self.ln1(F.relu(self.fc1(embeddings)))
        hidden = self.ln2(F.relu(self.fc2(hidden)))
        return torch.sigmoid(self.fc3(hidden))[..., 0]


class RegionAwareAttention(nn.Module):
    """Candidate points ask the refined image: every head has the full width.

    Args:
        width: d.
        cells: tokens of the refined image.
        heads: number of heads.
        hidden: widths of the activation head.
    """

    def __init__(self, width: int, cells: int, heads: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.heads = heads
        self.eps = nn.Parameter(torch.randn(cells, width))
        for head in range(heads):
            for role in "qkv":
                self.add_module(f"{role}{head}", nn.Linear(width, width))
        self.out = nn.Linear(heads * width, width)
        self.ffn = ActivationHead(width, hidden)

    def forward(self, refined: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Let the points look at the image.

        Args:
            refined: (n, width, rows, columns), the refiner's output.
            points: (k, width), E_cpp.

        Returns:
            Enriched spatial point embeddings ξ_ESPE (n, k, width), and activations (n, k).
        """
        tokens = refined.flatten(2).transpose(1, 2)
        values = tokens + self.eps
        seen = []
        for head in range(self.heads):
            query = self._project("q", head, points).expand(len(tokens), -1, -1)
            key = self._project("k", head, tokens)
            value = self._project("v", head, values)
            # Only with a dimension of heads does torch leave out the matrix of all pairs.
            attended = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])
            seen.append(attended[:, 0])
        embeddings = self.out(torch.cat(seen, dim=-1)) + points
        return embeddings, self.ffn(embeddings)

    def _project(self, role: str, head: int, tokens: Tensor) -> Tensor:
        result: Tensor = self.get_submodule(f"{role}{head}")(tokens)
        return result
