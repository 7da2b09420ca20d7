from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brainad.case import PreparedCase
from brainad.encoders.tiny import tiny_encoder
from brainad.methods.anyad.features import FeatureSet, SliceEncoder
from brainad.methods.anyad.layout import PerChannel
from brainad.training.session import FolderSession, MemorySession
from tests.methods.anyad.conftest import make_case, make_plan

CHANNELS = ("FLAIR", "T1", "T2")


def encoder(**changes: Any) -> SliceEncoder:
    return SliceEncoder(tiny_encoder(0, torch.device("cpu")), make_plan(**changes))


def test_slices_lie_on_one_raster_and_hold_brain(healthy: list[PreparedCase]) -> None:
    slices = encoder().slices(healthy[0], CHANNELS)
    area = healthy[0].brain.sum(axis=(0, 1))
    assert (slices.positions % 2 == 0).all()
    assert (area[slices.positions] >= 0.05 * area.max()).all()
    usable = np.zeros(12, dtype=bool)
    usable[:6] = True
    assert (encoder().slices(healthy[0], CHANNELS, usable).positions < 6).all()
    some = replace(healthy[0], images={"T2": healthy[0].images["T2"]})
    assert encoder().slices(some, CHANNELS).channels == ("T2",)


def test_a_group_is_the_mean_of_its_layers(healthy: list[PreparedCase]) -> None:
    plain = tiny_encoder(0, torch.device("cpu"))
    cut = encoder().slices(healthy[0], CHANNELS)
    features = encoder().encode(cut, [("T1",)])
    images = encoder().frame(healthy[0]).cut(healthy[0].images["T1"], cut.positions.tolist())
    layers = plain.encode(images, (1, 2, 3, 4), False)
    shallow = ((layers[0] + layers[1]) / 2).flatten(1, 2).numpy()
    assert features.groups.shape == (cut.positions.size, 1, 2, 16, 32)
    assert np.abs(features.groups[:, 0, 0] - shallow).max() < 0.02


@pytest.mark.parametrize("layout", ["per_channel", "rgb_slots"])
def test_a_set_of_channels_never_sees_the_others(layout: Any, healthy: list[PreparedCase]) -> None:
    case = healthy[0]
    changed = replace(case, images={**case.images, "FLAIR": 1 - case.images["FLAIR"]})
    kept = []
    for each in (case, changed):
        slicer = encoder(layout=layout)
        features = slicer.keep(slicer.slices(each, CHANNELS), MemorySession())
        kept.append((slicer.layout, features))
    rows = np.arange(kept[0][1].positions.size)

    def seen(subset: tuple[str, ...]) -> list[Any]:
        return [features.of_set(use.members(subset), rows) for use, features in kept]

    assert np.array_equal(*seen(("T1", "T2")))
    assert np.array_equal(*seen(("T1",)))
    assert not np.array_equal(*seen(("FLAIR", "T1")))


def test_features_are_computed_once_and_follow_the_images(
    healthy: list[PreparedCase], tmp_path: Path
) -> None:
    session = FolderSession(tmp_path, "key", tmp_path)
    slicer = encoder()
    cut = slicer.slices(healthy[0], CHANNELS)
    first = np.array(slicer.keep(cut, session).groups)
    file = tmp_path / "anyad" / "healthy_0.npy"
    before = file.stat().st_mtime_ns
    assert np.array_equal(slicer.keep(cut, session).groups, first)
    assert file.stat().st_mtime_ns == before
    brighter = {name: image * np.float32(0.9) for name, image in healthy[0].images.items()}
    other = slicer.slices(replace(healthy[0], images=brighter), CHANNELS)
    assert not np.array_equal(slicer.keep(other, session).groups, first)


def test_kept_and_fresh_features_are_the_same(healthy: list[PreparedCase]) -> None:
    slicer = encoder()
    cut = slicer.slices(healthy[0], CHANNELS)
    kept = slicer.keep(cut, MemorySession())
    fresh = slicer.encode(cut, slicer.layout.members(CHANNELS))
    assert kept.sources == fresh.sources
    assert np.abs(kept.groups.astype(np.float32) - fresh.groups).max() < 0.01


@pytest.fixture(scope="module")
def data(healthy: list[PreparedCase]) -> FeatureSet:
    slicer = encoder()
    cases = [*healthy[:3], make_case("without_t1", 9, ("FLAIR", "T2"))]
    kept = [slicer.keep(slicer.slices(case, CHANNELS), MemorySession()) for case in cases]
    return FeatureSet(kept, PerChannel())


def test_slices_are_grouped_by_the_channels_they_have(data: FeatureSet) -> None:
    groups = data.by_channels()
    assert set(groups) == {CHANNELS, ("FLAIR", "T2")}
    assert sum(members.size for members in groups.values()) == len(data)


def test_batches_are_loaded_by_slice_and_token(data: FeatureSet, rng: np.random.Generator) -> None:
    slices = data.by_channels()[CHANNELS][[0, 3]]
    shallow, deep = data.load(slices, ("T1", "T2"))
    assert shallow.shape == deep.shape == (2, 16, 32)
    assert data.draw_tokens(slices, 0, rng) is None
    tokens = data.draw_tokens(slices, 20, rng)
    assert tokens is not None
    part, _ = data.load(slices, ("T1", "T2"), tokens)
    assert torch.equal(part[1, 5], shallow[1, tokens[1, 5]])
    for row, chosen in zip((0, 3), tokens, strict=True):
        assert data.cases[0].inside[row][chosen].all()
    few = data.draw_tokens(slices, 3, rng)
    assert few is not None
    assert all(len(set(row)) == 3 for row in few.tolist())
