from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from brainad.encoders.vision_language import EMBEDDED
from brainad.methods.rasalore.network import NetworkSize
from brainad.methods.rasalore.plan import RasalorePlan, make_plan
from brainad.plan import (
    CaseFingerprint,
    Fingerprint,
    PreprocessingPlan,
    Resources,
    from_table,
    to_table,
)

CPU = Resources("cpu", 16.0, 2, Path("weights"), ("dinov2_vits14",), 60.0)
GPU = replace(CPU, device="cuda:0")
PREPROCESSING = PreprocessingPlan(
    channels=("FLAIR", "T2", "T1"),
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


def fingerprint(**coverage: float) -> Fingerprint:
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
        cases=(case,),
        channel_coverage=coverage,
        label_counts={"healthy": 0, "unhealthy": 0, "unknown": 1},
        label_level="none",
        slice_label_counts=(0, 0),
        skull_stripped_share=1.0,
        template_share=0.0,
    )


def plan(resources: Resources = CPU, spacing_mm: float = 1.0, **coverage: float) -> RasalorePlan:
    preprocessing = replace(PREPROCESSING, spacing_mm=spacing_mm)
    return make_plan(fingerprint(**(coverage or {"T2": 1.0})), preprocessing, resources)


def test_the_bridge_is_t2_where_there_is_one() -> None:
    assert plan(FLAIR=1.0, T2=0.6, T1=0.4).channels == ("T2", "FLAIR")
    assert plan(FLAIR=0.9, T2=0.1, T1=0.9).channels == ("FLAIR", "T1")
    assert plan(OTHER=1.0).channels == ("FLAIR",)


def test_a_cpu_gets_a_small_network_and_frozen_blocks() -> None:
    small, large = plan(CPU), plan(GPU)
    assert large.network == NetworkSize()
    assert small.network.image < large.network.image
    assert large.prompts.first_block == 0
    assert 0 < small.prompts.first_block < small.prompts.depth
    assert large.training.epochs == 200
    assert small.training.epochs < 200


@pytest.mark.parametrize("resources", [CPU, GPU])
def test_other_channels_join_before_the_bridge_is_sure_of_itself(resources: Resources) -> None:
    alone = plan(resources, T2=1.0).training.epochs
    together = plan(resources, T2=1.0, T1=1.0)
    assert together.training.epochs == alone // 10
    assert together.training.channel_epochs == alone
    assert any(f"{alone} of all channels" in reason for reason in together.reasons)


def test_a_clip_is_taken_where_its_weights_are() -> None:
    assert plan(CPU).encoder == EMBEDDED
    clip = replace(CPU, vision_language=("clip_vitl14",))
    assert plan(clip).encoder == "clip_vitl14"
    assert plan(clip).prompts.depth == 24
    assert plan(clip).masks.smallest == 0
    assert plan(CPU).masks.smallest == 50


@pytest.mark.parametrize(("spacing_mm", "pixels"), [(1.0, 1000), (2.0, 250)])
def test_areas_do_not_depend_on_the_voxel(spacing_mm: float, pixels: int) -> None:
    assert plan(spacing_mm=spacing_mm).least_pixels == pixels


def test_medsam_is_off_and_settings_survive_json() -> None:
    chosen = plan(GPU)
    assert chosen.medsam == "off"
    table = json.loads(json.dumps(to_table(chosen)))
    assert from_table(RasalorePlan, table, "a test") == chosen
    assert all(chosen.reasons)
