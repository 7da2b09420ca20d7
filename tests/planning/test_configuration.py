from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from brainad.case import Diagnosis, Supervision
from brainad.errors import UsageError
from brainad.method import MethodSpec
from brainad.plan import Fingerprint, LabelLevel
from brainad.planning.configuration import can_run, choose_configuration

# The rule looks at names only.
ANY = cast(MethodSpec[Any], None)
ALL = dict.fromkeys(("codegraph3d", "anyad", "rasalore", "medsad_clip"), ANY)


def fingerprint(
    level: LabelLevel,
    counts: Mapping[Diagnosis, int] | None = None,
    slices: tuple[int, int] = (0, 0),
) -> Fingerprint:
    return Fingerprint(
        format_version=1,
        created_by="test",
        input_hash="1",
        cases=(),
        channel_coverage={"T1": 1.0},
        label_counts=counts or {},
        label_level=level,
        slice_label_counts=slices,
        skull_stripped_share=1.0,
        template_share=1.0,
    )


@pytest.mark.parametrize(
    ("measured", "name"),
    [
        (fingerprint("none"), "codegraph3d"),
        (fingerprint("healthy", {"healthy": 3}), "anyad"),
        (fingerprint("case", {"healthy": 1, "unhealthy": 3}), "anyad"),
        (fingerprint("case", {"unhealthy": 3}), "codegraph3d"),
        (fingerprint("slice", {"unhealthy": 3}, (4, 4)), "rasalore"),
        (fingerprint("slice", {"healthy": 2}, (4, 0)), "anyad"),
        (fingerprint("slice", {"unhealthy": 2}, (0, 4)), "codegraph3d"),
        (fingerprint("voxel", {"unhealthy": 2}, (9, 4)), "medsad_clip"),
    ],
)
def test_default_follows_the_labels(measured: Fingerprint, name: str) -> None:
    assert choose_configuration(measured, ALL).value == name


@pytest.mark.parametrize(
    ("measured", "wanted"),
    [
        (fingerprint("healthy", {"healthy": 3}), "anyad"),
        (fingerprint("slice", {"unhealthy": 3}, (4, 4)), "rasalore"),
        (fingerprint("voxel", {"unhealthy": 2}, (9, 4)), "medsad_clip"),
    ],
)
def test_an_absent_method_is_named(measured: Fingerprint, wanted: str) -> None:
    decision = choose_configuration(measured, {"codegraph3d": ANY})
    assert decision.value == "codegraph3d"
    assert wanted in decision.because
    assert "does not have it" in decision.because


def test_nothing_installed() -> None:
    with pytest.raises(UsageError, match="codegraph3d is not installed"):
        choose_configuration(fingerprint("none"), {})


@pytest.mark.parametrize(
    ("supervision", "measured", "enough"),
    [
        (Supervision.NONE, fingerprint("none"), True),
        (Supervision.NORMAL, fingerprint("none"), False),
        (Supervision.NORMAL, fingerprint("healthy", {"healthy": 1}), True),
        (Supervision.NORMAL, fingerprint("slice", {}, (1, 0)), True),
        (Supervision.SLICE, fingerprint("slice", {}, (1, 0)), False),
        (Supervision.SLICE, fingerprint("slice", {}, (1, 1)), True),
        (Supervision.VOXEL, fingerprint("slice", {}, (1, 1)), False),
    ],
)
def test_what_the_labels_allow(
    supervision: Supervision, measured: Fingerprint, enough: bool
) -> None:
    assert can_run(supervision, measured).value is enough
