from __future__ import annotations

import re

from brainad.encoders.registry import REGISTRY, Hub, Wheel


def test_entries_are_keyed_by_their_name_and_fully_described() -> None:
    for name, entry in REGISTRY.items():
        assert entry.name == name
        assert entry.description and entry.licence


def test_what_the_package_index_delivers_is_pinned() -> None:
    wheels = [entry for entry in REGISTRY.values() if isinstance(entry.source, Wheel)]
    assert [entry.name for entry in wheels] == ["dinov2_vits14"]
    source = wheels[0].source
    assert isinstance(source, Wheel)
    for sha256 in (source.sha256, source.member_sha256, wheels[0].sha256):
        assert re.fullmatch("[0-9a-f]{64}", sha256)


def test_hub_repositories_are_distinct() -> None:
    repositories = [e.source.repository for e in REGISTRY.values() if isinstance(e.source, Hub)]
    assert len(set(repositories)) == len(repositories) == 8
