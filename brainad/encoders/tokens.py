"""Words to token ids, with the tokeniser that lies in a transformers folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from brainad.errors import UsageError

_FILE = "tokenizer.json"


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokeniser of a transformers folder.

    Raises:
        UsageError: the folder has none.
    """
    if not (folder / _FILE).is_file():
        raise UsageError(
            f"the model folder has no {_FILE}",
            str(folder),
            "save the tokeniser beside the model (save_pretrained of transformers)",
        )
    return Tokenizer.from_file(str(folder / _FILE))


def tokeniser(tokenizer: Tokenizer) -> Callable[[str], Sequence[int]]:
    """Return the function from words to ids without start, end or padding."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return lambda words: tokenizer.encode(words, add_special_tokens=False).ids


def vocabulary_id(tokenizer: Tokenizer, token: str, folder: Path) -> int:
    """Return the id of a special token.

    Raises:
        UsageError: the vocabulary does not have it.
    """
    found = tokenizer.token_to_id(token)
    if found is None:
        raise UsageError(
            f"the vocabulary has no token {token}",
            str(folder / _FILE),
            "use the tokeniser that was published with the model",
        )
    return int(found)
