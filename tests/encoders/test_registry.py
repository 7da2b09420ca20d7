from __future__ import annotations

import re

from brainad.encoders.registry import REGISTRY, Hub, Wheel, WheelFolder


def test_entries_are_keyed_by_their_name_and_fully_described() -> None:
    for name, entry in REGISTRY.items():
        assert entry.name == name
        assert entry.description and entry.licence


def test_what_the_package_index_delivers_is_pinned() -> None:
    graph, sentences = REGISTRY["dinov2_vits14"], REGISTRY["all_minilm_l6_v2"]
    assert isinstance(graph.source, Wheel)
    assert isinstance(sentences.source, WheelFolder)
    hashes = (graph.source.sha256, graph.source.member_sha256, graph.sha256)
    for sha256 in (*hashes, sentences.source.sha256, sentences.sha256):
        assert re.fullmatch("[0-9a-f]{64}", sha256)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(sentences.source.files)


def test_hub_repositories_are_distinct() -> None:
    repositories = [e.source.repository for e in REGISTRY.values() if isinstance(e.source, Hub)]
    assert len(set(repositories)) == len(repositories) == 10


def test_roles_tell_what_an_entry_encodes() -> None:
    roles = {name: entry.role for name, entry in REGISTRY.items()}
    assert {name for name, role in roles.items() if role == "text"} == {"all_minilm_l6_v2"}
    assert {name for name, role in roles.items() if role == "image_text"} == {
        "clip_vitb32",
        "clip_vitl14",
    }
