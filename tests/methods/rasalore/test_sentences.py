from __future__ import annotations

from brainad.methods.rasalore.sentences import CLASS_SENTENCES, NEUTRAL_SENTENCES


def test_only_sentences_of_a_class_have_room_for_its_word() -> None:
    assert all(sentence.count("{}") == 1 for sentence in CLASS_SENTENCES)
    assert not any("{}" in sentence or "healthy" in sentence for sentence in NEUTRAL_SENTENCES)
