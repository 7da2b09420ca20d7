from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainad.case import Case, Diagnosis, Labels
from brainad.errors import UsageError
from brainad.plan import CaseFingerprint, Fingerprint, LabelLevel, from_table, to_table
from brainad.planning.fingerprint import assemble, input_hash, measure_case
from brainad.volume import Grid, Volume, centred_grid

GRID = centred_grid((40, 44, 36), 4.0, np.zeros(3))
POSITION = np.linalg.norm(
    np.indices(GRID.shape) * 4.0 + GRID.affine[:3, 3][:, None, None, None], axis=0
)
BRAIN = Volume(np.where(POSITION < 65, 100 + POSITION, 0).astype(np.float32), GRID)
CASE = Case("a", "p", {"T1": Path("t1.nii")}, "T1")


def measured(labels: Labels | None = None, lesion: Volume | None = None) -> CaseFingerprint:
    case = replace(CASE, labels=labels or Labels())
    return measure_case(case, {"T1": BRAIN}, lesion, BRAIN)


def lesion_in(*slices: int) -> Volume:
    data = np.zeros(GRID.shape, dtype=bool)
    data[20, 20, list(slices)] = True
    return Volume(data, GRID)


def test_measurements_of_one_case() -> None:
    found = measured()
    assert (found.case_id, found.patient_id, found.channels) == ("a", "p", ("T1",))
    assert found.shape == (40, 44, 36)
    assert found.spacing_mm == (4.0, 4.0, 4.0)
    assert found.orientation == "RAS"
    assert found.extent_mm == (160.0, 176.0, 144.0)
    assert found.brain_fraction == pytest.approx((POSITION < 65).mean(), abs=0.01)
    assert found.skull_stripped
    assert found.in_template_space
    for low, high in found.brain_range_mm:
        assert (low, high) == pytest.approx((-63, 63), abs=3)
    low, *middle, high = found.percentiles["T1"]
    assert low == pytest.approx(np.percentile(BRAIN.data[POSITION < 65], 0.5), abs=3)
    assert high == pytest.approx(165, abs=2)
    assert middle == sorted(middle)


def test_extent_is_measured_along_the_world() -> None:
    swapped = np.array([[0, 0, 4, 0], [-4, 0, 0, 0], [0, 4, 0, 0], [0, 0, 0, 1]], dtype=float)
    stored = Volume(BRAIN.data, Grid(GRID.shape, swapped))
    found = measure_case(CASE, {"T1": stored}, None, BRAIN)
    assert found.extent_mm == (144.0, 160.0, 176.0)
    assert found.orientation == "PSR"
    assert not found.in_template_space


def test_a_channel_on_another_grid_is_measured_on_its_own() -> None:
    coarse = Volume(
        BRAIN.data[:, :, ::2] * 2, Grid((40, 44, 18), GRID.affine @ np.diag([1, 1, 2, 1]))
    )
    found = measure_case(CASE, {"T1": BRAIN, "T2": coarse}, None, BRAIN)
    assert found.percentiles["T2"][2] == pytest.approx(2 * found.percentiles["T1"][2], rel=0.02)


@pytest.mark.parametrize(
    ("declared", "slices", "anomalous", "label", "level", "counts"),
    [
        ("unknown", {}, None, "unknown", "none", (0, 0)),
        ("healthy", {}, None, "healthy", "healthy", (36, 0)),
        ("unhealthy", {}, None, "unhealthy", "case", (0, 0)),
        ("unknown", {3: False, 4: True, 5: True}, None, "unhealthy", "slice", (1, 2)),
        ("unknown", {3: False}, None, "unknown", "slice", (1, 0)),
        ("unknown", {}, (7, 9), "unhealthy", "voxel", (34, 2)),
        ("unknown", {}, (), "healthy", "healthy", (36, 0)),
        ("unhealthy", {}, (), "unhealthy", "case", (36, 0)),
        ("unhealthy", {1: True}, (7,), "unhealthy", "voxel", (0, 1)),
    ],
)
def test_labels(
    declared: Diagnosis,
    slices: dict[int, bool],
    anomalous: tuple[int, ...] | None,
    label: Diagnosis,
    level: LabelLevel,
    counts: tuple[int, int],
) -> None:
    lesion = None if anomalous is None else lesion_in(*anomalous)
    found = measured(Labels(declared, slices=slices, slice_axis=2), lesion)
    assert (found.label, found.label_level, found.slice_labels) == (label, level, counts)
    assert found.labelled_plane == ("axial" if slices else None)


def test_another_axis_of_slice_labels_is_another_input() -> None:
    one, other = (
        input_hash([replace(CASE, labels=Labels(slices={3: True}, slice_axis=axis))])
        for axis in (0, 1)
    )
    assert one != other


def test_hash_follows_the_content_not_the_names() -> None:
    same = measure_case(
        Case("b", "q", {"FLAIR": Path("x")}, "FLAIR"), {"FLAIR": BRAIN}, None, BRAIN
    )
    other = Volume(BRAIN.data + np.float32(1) * (BRAIN.data > 0), GRID)
    assert same.content_hash == measured().content_hash
    changed = measure_case(CASE, {"T1": other}, None, BRAIN)
    assert changed.content_hash != measured().content_hash


def test_assembly_counts() -> None:
    first = measured()
    second = replace(
        first,
        case_id="0",
        channels=("FLAIR", "T1"),
        skull_stripped=False,
        in_template_space=False,
        label="healthy",
        label_level="healthy",
        slice_labels=(30, 0),
    )
    third = replace(first, case_id="z", label="unhealthy", label_level="slice", slice_labels=(1, 4))
    found = assemble([first, third, second, replace(first, case_id="b")], "inputs")
    assert [case.case_id for case in found.cases] == ["0", "a", "b", "z"]
    assert found.input_hash == "inputs"
    assert found.channel_coverage == {"FLAIR": 0.25, "T1": 1.0}
    assert found.label_counts == {"healthy": 1, "unhealthy": 1, "unknown": 2}
    assert found.label_level == "slice"
    assert found.slice_label_counts == (31, 4)
    assert found.skull_stripped_share == 0.75
    assert found.template_share == 0.75
    assert from_table(Fingerprint, to_table(found), "file") == found


def test_assembly_needs_a_case() -> None:
    with pytest.raises(UsageError, match="no readable case"):
        assemble([], "")


def test_input_hash_sees_files_and_labels_change(tmp_path: Path) -> None:
    image = tmp_path / "a.nii"
    image.write_bytes(b"1")
    case = Case("a", "a", {"T1": image}, "T1")
    before = input_hash([case])
    assert input_hash([case]) == before
    assert input_hash([replace(case, labels=Labels("healthy"))]) != before
    assert input_hash([case, replace(case, case_id="b")]) != before
    os.utime(image, ns=(1, 1))
    touched = input_hash([case])
    assert touched != before
    image.unlink()
    assert input_hash([case]) != touched
