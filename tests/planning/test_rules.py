from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from brainad.errors import UsageError
from brainad.plan import CaseFingerprint, Fingerprint
from brainad.planning import rules

BOX = ((-72.0, 72.0), (-107.0, 73.0), (-72.0, 82.0))
RAW = (0.0, 50.0, 80.0, 100.0, 180.0)
Z_SCORED = (-2.5, -0.5, 0.1, 0.7, 2.4)


def case(**changes: Any) -> CaseFingerprint:
    table: dict[str, Any] = {
        "case_id": "a",
        "patient_id": "a",
        "channels": ("T1",),
        "shape": (182, 218, 182),
        "spacing_mm": (1.0, 1.0, 1.0),
        "orientation": "RAS",
        "extent_mm": (182.0, 218.0, 182.0),
        "brain_fraction": 0.25,
        "brain_range_mm": BOX,
        "percentiles": {"T1": RAW},
        "skull_stripped": False,
        "in_template_space": False,
        "label": "unknown",
        "label_level": "none",
        "slice_labels": (0, 0),
        "labelled_plane": None,
        "content_hash": "1",
    }
    return CaseFingerprint(**{**table, **changes})


def fingerprint(
    *cases: CaseFingerprint,
    coverage: Mapping[str, float] | None = None,
    stripped: float = 0.0,
    template: float = 0.0,
) -> Fingerprint:
    return Fingerprint(
        format_version=1,
        created_by="test",
        input_hash="1",
        cases=cases or (case(),),
        channel_coverage=coverage or {"T1": 1.0},
        label_counts={},
        label_level="none",
        slice_label_counts=(0, 0),
        skull_stripped_share=stripped,
        template_share=template,
    )


def test_a_decision_tells_topic_value_and_reason() -> None:
    assert rules.Decision(3, "it fits").sentence("size") == "size = 3: it fits"


@pytest.mark.parametrize(
    ("coverage", "order"),
    [
        ({"T1": 1.0, "T2": 1.0, "FLAIR": 1.0, "T1CE": 1.0}, ("FLAIR", "T2", "T1CE", "T1")),
        ({"T1": 1.0, "FLAIR": 0.4}, ("T1", "FLAIR")),
        ({"T1": 1.0, "FLAIR": 0.95}, ("FLAIR", "T1")),
        ({"T1": 0.5, "FLAIR": 0.5}, ("FLAIR", "T1")),
        ({"zscore": 1.0, "SWI": 1.0}, ("SWI", "zscore")),
    ],
)
def test_channels(coverage: dict[str, float], order: tuple[str, ...]) -> None:
    decision = rules.choose_channels(fingerprint(coverage=coverage))
    assert decision.value == order
    assert f"{order[0]} in {coverage[order[0]]:.0%}" in decision.because


@pytest.mark.parametrize(
    ("stripped", "declared", "value"),
    [
        (0.0, "auto", "hd-bet"),
        (1.0, "auto", "nonzero"),
        (0.5, "auto", "per-case"),
        (0.0, True, "nonzero"),
        (1.0, False, "hd-bet"),
    ],
)
def test_brain_mask(stripped: float, declared: Any, value: str) -> None:
    decision = rules.choose_brain_mask(fingerprint(stripped=stripped), declared)
    assert decision.value == value
    assert ("declared" in decision.because) == (declared != "auto")


@pytest.mark.parametrize(
    ("percentiles", "mask", "value"),
    [
        (RAW, "hd-bet", True),
        (RAW, "per-case", True),
        (RAW, "nonzero", False),
        (Z_SCORED, "hd-bet", False),
        (Z_SCORED, "nonzero", False),
    ],
)
def test_bias_field(percentiles: tuple[float, ...], mask: rules.BrainMask, value: bool) -> None:
    measured = fingerprint(case(percentiles={"T1": percentiles}))
    assert rules.choose_bias_field(measured, mask).value is value


@pytest.mark.parametrize(
    ("channels", "mask", "value"),
    [
        (("T1",), "hd-bet", False),
        (("T1", "T2"), "hd-bet", True),
        (("T1", "T2"), "per-case", True),
        (("T1", "T2"), "nonzero", False),
    ],
)
def test_coregistration(channels: tuple[str, ...], mask: rules.BrainMask, value: bool) -> None:
    measured = fingerprint(case(), case(channels=channels))
    assert rules.choose_coregistration(measured, mask).value is value


@pytest.mark.parametrize(("template", "value"), [(1.0, "none"), (0.9, "affine"), (0.0, "affine")])
def test_registration(template: float, value: str) -> None:
    decision = rules.choose_registration(fingerprint(template=template))
    assert decision.value == value
    assert f"{template:.0%}" in decision.because or template == 1


def test_working_grid_holds_the_template_brain_and_a_margin() -> None:
    shape, spacing_mm = rules.choose_working_grid(fingerprint(), BOX, "affine").value
    assert spacing_mm == 1.0
    # 144, 180 and 154 mm plus 12 mm, in whole cells of 14 mm.
    assert shape == (12 * 14, 14 * 14, 12 * 14)


def test_working_grid_with_a_wished_spacing() -> None:
    shape, spacing_mm = rules.choose_working_grid(fingerprint(), BOX, "affine", 10 / 14).value
    assert spacing_mm == pytest.approx(10 / 14)
    assert shape == (16 * 14, 20 * 14, 17 * 14)


def test_working_grid_grows_with_brains_that_stay_where_they_are() -> None:
    wide = case(brain_range_mm=((-72.0, 90.0), *BOX[1:]))
    shape, _ = rules.choose_working_grid(fingerprint(case(), wide), BOX, "none").value
    assert shape == (14 * 14, 14 * 14, 12 * 14)
    shape, _ = rules.choose_working_grid(fingerprint(case(), wide), BOX, "affine").value
    assert shape == (12 * 14, 14 * 14, 12 * 14)


@pytest.mark.parametrize("spacing_mm", [0.0, -1.0, 0.2, 5.0, float("nan")])
def test_impossible_spacing(spacing_mm: float) -> None:
    with pytest.raises(UsageError, match="target spacing"):
        rules.choose_working_grid(fingerprint(), BOX, "affine", spacing_mm)


@pytest.mark.parametrize(
    ("declared", "value"), [("auto", 2), ("axial", 2), ("coronal", 1), ("sagittal", 0)]
)
def test_slice_axis(declared: str, value: int) -> None:
    assert rules.choose_slice_axis(fingerprint(), declared).value == value


def test_slices_are_cut_where_they_are_labelled() -> None:
    coronal, sagittal = case(labelled_plane="coronal"), case(labelled_plane="sagittal")
    cases = fingerprint(case(), coronal, sagittal, coronal)
    decision = rules.choose_slice_axis(cases, "auto")
    assert decision.value == 1
    assert (
        decision.because == "coronal slices of 2 cases are labelled; sagittal ones of 1 are no use"
    )
    assert rules.choose_slice_axis(cases, "axial").value == 2


def test_landmarks_are_copied_for_the_planned_channels() -> None:
    available = {"T1": (0.0, 10.0), "T2": (0.0, 20.0), "FLAIR": (3.0, 30.0)}
    decision = rules.choose_landmarks(("T1", "FLAIR"), available)
    assert decision.value == {"T1": (0.0, 10.0), "FLAIR": (3.0, 30.0)}


def test_a_channel_without_reference_gets_the_mean_of_all() -> None:
    available = {"T1": (0.0, 10.0), "T2": (0.0, 20.0), "FLAIR": (3.0, 30.0)}
    decision = rules.choose_landmarks(("T1", "SWI"), available)
    assert decision.value == {"T1": (0.0, 10.0), "SWI": (1.0, 20.0)}
    assert "SWI has none of its own" in decision.because
    assert rules.choose_landmarks(("SWI",), {}).value == {}
