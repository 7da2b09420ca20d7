from __future__ import annotations

from pathlib import Path

import pytest

from brainad.encoders.tokens import load_tokenizer, tokeniser, vocabulary_id
from brainad.errors import UsageError


def test_words_become_ids_without_start_and_end(clip_folder: Path) -> None:
    tokenizer = load_tokenizer(clip_folder)
    assert list(tokeniser(tokenizer)("a photo of a brain.")) == [0, 1, 2, 0, 5, 6]
    assert vocabulary_id(tokenizer, "<|endoftext|>", clip_folder) == 8
    with pytest.raises(UsageError, match=r"no token \[SEP\]"):
        vocabulary_id(tokenizer, "[SEP]", clip_folder)
