"""The text side of a vision-language encoder: words and learnable embeddings mixed in a prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True, eq=False)
class Prompts:
    """Sequences of token embeddings, before positions are added.

    Args:
        embeddings: (n, length, width); zero where nothing is.
        lengths: (n,) tokens of each sequence, start and end included.
    """

    embeddings: Tensor
    lengths: Tensor

    @property
    def valid(self) -> Tensor:
        """(n, length) bool: where a token is."""
        steps = torch.arange(self.embeddings.shape[1], device=self.embeddings.device)
        return steps < self.lengths[:, None]


@dataclass(frozen=True, eq=False)
class TextTower:
    """Frozen text transformer that takes embeddings, so that gradients reach learnable ones.

    Args:
        tokenise: words → token ids, without start and end.
        embedding: token ids → embeddings, before positions.
        start: id of the token that begins every sequence.
        end: id of the token that ends every sequence.
        transform: prompts → (n, length, out_width), every token through blocks, final norm and
            projection.
        pooling: ``end``: the last token speaks for the sequence; ``mean``: the mean of all.
        width: of an embedding.
        out_width: of a text feature.
        context: most tokens in a sequence.
        device: where it computes.
    """

    tokenise: Callable[[str], Sequence[int]]
    embedding: nn.Embedding
    start: int
    end: int
    transform: Callable[[Prompts], Tensor]
    pooling: str
    width: int
    out_width: int
    context: int
    device: torch.device

    def embed(self, words: str) -> Tensor:
        """Return the frozen embeddings (tokens, width) of words, without start and end."""
        return self._rows(self.tokenise(words))

    def assemble(self, sequences: Sequence[Sequence[str | Tensor]]) -> Prompts:
        """Put words and embeddings in order between start and end, and pad to the longest.

        Args:
            sequences: each a row of words and of (tokens, width) tensors, learnable or not.

        Raises:
            ValueError: a sequence is longer than the context.
        """
        start, end = self._rows([self.start]), self._rows([self.end])
        rows = [
            torch.cat([start, *(self.embed(p) if isinstance(p, str) else p for p in sequence), end])
            for sequence in sequences
        ]
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        if lengths.max() > self.context:
            raise ValueError(f"a prompt has {lengths.max()} tokens; {self.context} is the limit")
        return Prompts(pad_sequence(rows, batch_first=True), lengths)

    def encode(self, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Encode prompts, with gradients to their embeddings.

        Returns:
            Every token, (n, length, out_width), and one feature per prompt, (n, out_width),
            not normalised.
        """
        tokens = self.transform(prompts)
        if self.pooling == "end":
            rows = torch.arange(len(tokens), device=tokens.device)
            return tokens, tokens[rows, prompts.lengths - 1]
        weights = prompts.valid[..., None].to(tokens.dtype)
        return tokens, (tokens * weights).sum(1) / weights.sum(1)

    def encode_words(self, texts: Sequence[str]) -> Tensor:
        """Return the frozen features (n, out_width) of plain texts, not normalised."""
        with torch.no_grad():
            return self.encode(self.assemble([[text] for text in texts]))[1]

    def _rows(self, ids: Sequence[int]) -> Tensor:
        rows: Tensor = self.embedding(torch.tensor(list(ids), dtype=torch.long, device=self.device))
        return rows
