from __future__ import annotations

import pytest

from brainad.channels import CANONICAL, canonical_channel, channel_name
from brainad.errors import UsageError


@pytest.mark.parametrize("name", CANONICAL)
def test_canonical_names_are_known_in_any_spelling(name: str) -> None:
    assert canonical_channel(name) == name
    assert canonical_channel(name.lower()) == name
    assert canonical_channel(f"{name[:1]}_{name[1:]}") == name


@pytest.mark.parametrize(
    ("word", "channel"),
    [
        ("t1n", "T1"),
        ("MPRAGE", "T1"),
        ("T1-Gd", "T1CE"),
        ("t1c", "T1CE"),
        ("T2w", "T2"),
        ("t2f", "FLAIR"),
        ("t2 flair", "FLAIR"),
        ("t2-flair", "FLAIR"),
    ],
)
def test_names_in_the_wild(word: str, channel: str) -> None:
    assert canonical_channel(word) == channel


@pytest.mark.parametrize("word", ["", "t", "t22", "flair2", "seg", "xt1", "0000"])
def test_words_are_compared_whole(word: str) -> None:
    assert canonical_channel(word) is None


def test_further_aliases_are_spelt_as_freely_and_stand_above_the_built_in_ones() -> None:
    extra = {"Dark-Fluid": "FLAIR", "t2f": "T2"}
    assert canonical_channel("dark_fluid", extra) == "FLAIR"
    assert canonical_channel("T2F", extra) == "T2"
    assert canonical_channel("t1", extra) == "T1"


def test_a_word_that_is_not_known_is_a_name_of_its_own() -> None:
    assert channel_name("t1w", "a test") == "T1"
    assert channel_name(" T2* ", "a test") == "T2*"


@pytest.mark.parametrize("word", ["T1.post", "T1/Gd", "..", "a\\b", "a\tb"])
def test_a_name_can_be_part_of_other_names(word: str) -> None:
    with pytest.raises(UsageError, match="a channel is called") as caught:
        channel_name(word, "a test")
    assert caught.value.where == "a test"
