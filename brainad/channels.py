"""Canonical channel names and the names they go by in the wild."""

from __future__ import annotations

import re
from collections.abc import Mapping

from brainad.errors import UsageError
from brainad.files import is_safe_name

CANONICAL = ("T1", "T1CE", "T2", "FLAIR", "PD", "DWI", "ADC", "SWI")

_ALIASES: dict[str, str] = {
    **{name.lower(): name for name in CANONICAL},
    **dict.fromkeys(("t1w", "t1n", "t1pre", "mprage"), "T1"),
    **dict.fromkeys(("t1c", "t1gd", "t1gad", "t1post", "t1wce"), "T1CE"),
    "t2w": "T2",
    **dict.fromkeys(("t2f", "fla", "fl", "t2flair", "flairw"), "FLAIR"),
}


def canonical_channel(name: str, extra: Mapping[str, str] | None = None) -> str | None:
    """Return the canonical name of a channel, or None if the word is not known.

    Words are compared whole, without case, underscores, hyphens and blanks, so that ``t2f``
    is never read as ``t2``.

    Args:
        name: a word such as ``T1w``, ``t2-flair`` or ``FLAIR``.
        extra: additional aliases, alias to canonical name.
    """
    word = re.sub(r"[_\-\s]", "", name).lower()
    added = {re.sub(r"[_\-\s]", "", alias).lower(): to for alias, to in (extra or {}).items()}
    return added.get(word) or _ALIASES.get(word)


def channel_name(word: str, where: str, extra: Mapping[str, str] | None = None) -> str:
    """Return the canonical name of a channel, or the word itself if it is not known.

    Args:
        word: as the user wrote it.
        where: it was found, for the error.
        extra: additional aliases, alias to canonical name.

    Raises:
        UsageError: the word has a character that cannot be part of a name.
    """
    name = canonical_channel(word, extra) or word.strip()
    # Channels name files and parts of networks; torch allows no full stop in the latter.
    if "." in name or not is_safe_name(name):
        raise UsageError(
            f"a channel is called {word!r}", where, "choose a name without full stops and slashes"
        )
    return name
