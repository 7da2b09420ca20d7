from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from brainad.errors import UsageError
from brainad.methods.codegraph3d.graph import GraphSettings
from brainad.methods.codegraph3d.plan import (
    CoDeGraph3DPlan,
    make_plan,
    quarter_layers,
    seconds_per_case,
)
from brainad.plan import (
    CaseFingerprint,
    Fingerprint,
    PreprocessingPlan,
    Resources,
    from_table,
    to_table,
)

RESOURCES = Resources("cpu", 16.0, 2, Path("weights"), ("dinov2_vits14",), 60.0)
PREPROCESSING = PreprocessingPlan(
    channels=("T2", "T1"),
    brain_mask="nonzero",
    bias_field=False,
    coregister=False,
    registration="affine",
    template="mni152",
    working_shape=(168, 196, 168),
    spacing_mm=1.0,
    landmarks={},
    slice_axis=2,
)


def fingerprint(cases: int) -> Fingerprint:
    case = CaseFingerprint(
        case_id="a",
        patient_id="a",
        channels=("T1", "T2"),
        shape=(10, 10, 10),
        spacing_mm=(1, 1, 1),
        orientation="RAS",
        extent_mm=(10, 10, 10),
        brain_fraction=0.5,
        brain_range_mm=((0, 1), (0, 1), (0, 1)),
        percentiles={"T1": (0, 1, 2, 3, 4), "T2": (0, 1, 2, 3, 4)},
        skull_stripped=True,
        in_template_space=False,
        label="unknown",
        label_level="none",
        slice_labels=(0, 0),
        labelled_plane=None,
        content_hash="",
    )
    return Fingerprint(
        format_version=1,
        created_by="",
        input_hash="",
        cases=tuple(replace(case, case_id=str(i)) for i in range(cases)),
        channel_coverage={"T1": 1.0, "T2": 1.0},
        label_counts={"healthy": 0, "unhealthy": 0, "unknown": cases},
        label_level="none",
        slice_label_counts=(0, 0),
        skull_stripped_share=1.0,
        template_share=0.0,
    )


def test_the_plan_survives_json_and_is_pure() -> None:
    plan = make_plan(fingerprint(8), PREPROCESSING, RESOURCES)
    assert from_table(CoDeGraph3DPlan, to_table(plan), "here") == plan
    assert make_plan(fingerprint(8), PREPROCESSING, RESOURCES) == plan


def test_an_unknown_setting_is_refused_by_name() -> None:
    table = {**to_table(make_plan(fingerprint(8), PREPROCESSING, RESOURCES)), "radios": 2}
    with pytest.raises(UsageError, match="radios"):
        from_table(CoDeGraph3DPlan, table, "here")


def test_the_most_telling_channel_is_compared() -> None:
    assert make_plan(fingerprint(8), PREPROCESSING, RESOURCES).channel == "T2"


def test_a_smaller_time_budget_means_fewer_slices_and_never_none() -> None:
    counts = [
        make_plan(
            fingerprint(8), PREPROCESSING, replace(RESOURCES, seconds_per_case=budget)
        ).slices_per_block
        for budget in (1000.0, 20.0, 0.1)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[1] >= counts[2] == 1


def test_the_budget_is_kept_where_one_slice_fits() -> None:
    plan = make_plan(fingerprint(8), PREPROCESSING, RESOURCES)
    used = seconds_per_case(plan.encoder, plan.slices_per_block, PREPROCESSING, RESOURCES)
    assert used <= RESOURCES.seconds_per_case


def test_small_memory_splits_a_large_cohort_but_never_below_thirty() -> None:
    little = replace(RESOURCES, memory_gib=0.1)
    assert make_plan(fingerprint(300), PREPROCESSING, little).chunk_size == 30
    assert make_plan(fingerprint(300), PREPROCESSING, RESOURCES).chunk_size > 30


def test_blocks_fit_the_memory_within_bounds() -> None:
    sizes = [
        make_plan(fingerprint(300), PREPROCESSING, replace(RESOURCES, memory_gib=gib)).block_size
        for gib in (0.1, 4.0, 1000.0)
    ]
    assert sizes[0] == 4
    assert sizes[0] <= sizes[1] < sizes[2] == 32


def test_a_gpu_takes_the_best_encoder_at_hand_and_a_cpu_the_embedded_one() -> None:
    encoders = ("dinov2_vits14", "dinov2_vitb14", "dinov2_vitl14", "dinov2_vits14_reg")
    gpu = replace(RESOURCES, device="cuda:0", encoders=encoders)
    cpu = replace(RESOURCES, encoders=encoders)
    assert make_plan(fingerprint(8), PREPROCESSING, gpu).encoder == "dinov2_vitl14"
    assert make_plan(fingerprint(8), PREPROCESSING, cpu).encoder == "dinov2_vits14"


def test_without_weights_the_plan_says_how_to_get_them() -> None:
    plan = make_plan(fingerprint(8), PREPROCESSING, replace(RESOURCES, encoders=()))
    assert any("brainad_download_weights" in reason for reason in plan.reasons)


def test_quarters_of_the_depth() -> None:
    assert quarter_layers(24) == (6, 12, 18, 24)
    assert quarter_layers(12) == (3, 6, 9, 12)
    assert quarter_layers(40) == (10, 20, 30, 40)


def test_a_misspelt_graph_setting_is_refused() -> None:
    table = to_table(make_plan(fingerprint(8), PREPROCESSING, RESOURCES))
    assert from_table(CoDeGraph3DPlan, table, "a test").graph == GraphSettings()
    table["graph"] = {"covrage": 0.5}
    with pytest.raises(UsageError, match="covrage"):
        from_table(CoDeGraph3DPlan, table, "a test")
