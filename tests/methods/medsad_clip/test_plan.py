from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from brainad.errors import UsageError
from brainad.methods.medsad_clip.adapter import NO_WRITE_BACK
from brainad.methods.medsad_clip.plan import CLIP, MedSADCLIPPlan, make_plan
from brainad.plan import Fingerprint, Plan, Resources, from_table, to_table


@pytest.fixture
def measured() -> Fingerprint:
    return Fingerprint(1, "test", "hash", (), {"FLAIR": 1.0}, {}, "voxel", (10, 10), 1.0, 0.0)


def planned(
    measured: Fingerprint, plan: Plan, resources: Resources, **offer: Any
) -> MedSADCLIPPlan:
    return make_plan(measured, plan.preprocessing, replace(resources, **offer))


def test_a_cpu_gets_the_embedded_pair_and_writes_nothing_back(
    measured: Fingerprint, plan: Plan, resources: Resources
) -> None:
    found = planned(measured, plan, resources, vision_language=(CLIP,))
    assert found.encoder == "dinov2_vits14+all_minilm_l6_v2"
    assert found.network.mix == NO_WRITE_BACK
    assert not found.writes_back
    assert any("differs from the paper" in reason for reason in found.reasons)
    assert found.longest_side % 14 == 0


def test_a_gpu_gets_the_published_method(
    measured: Fingerprint, plan: Plan, resources: Resources
) -> None:
    found = planned(measured, plan, resources, device="cuda", vision_language=(CLIP,))
    assert found.encoder == CLIP
    assert found.taps == (6, 12, 18, 24)
    assert found.network.mix == (0.8, 0.1, 0.1)
    assert (found.network.temperature, found.network.learn_temperature) == (100.0, False)
    assert found.epochs * found.batches_per_epoch == 5850
    assert (found.batch, found.margin, found.network.learnable_tokens) == (32, 0.4, 10)


def test_steps_follow_the_spacing_and_the_time_budget(
    measured: Fingerprint, plan: Plan, resources: Resources
) -> None:
    wide = planned(measured, plan, resources)
    assert (wide.learning_step, wide.predicting_step) == (2, 1)
    hurried = planned(measured, plan, resources, seconds_per_case=0.5)
    assert hurried.predicting_step > wide.predicting_step
    fine = replace(plan, preprocessing=replace(plan.preprocessing, spacing_mm=0.5))
    assert planned(measured, fine, resources).learning_step == 5


def test_sagittal_slices_are_not_mirrored(
    measured: Fingerprint, plan: Plan, resources: Resources
) -> None:
    sagittal = replace(plan, preprocessing=replace(plan.preprocessing, slice_axis=0))
    assert not planned(measured, sagittal, resources).mirrored
    assert planned(measured, plan, resources).mirrored


def test_the_plan_survives_json_and_refuses_unknown_settings(
    measured: Fingerprint, plan: Plan, resources: Resources
) -> None:
    found = planned(measured, plan, resources)
    table = to_table(found)
    assert from_table(MedSADCLIPPlan, table, "here") == found
    table["network"]["heads"] = 4
    with pytest.raises(UsageError, match=r"network\.heads"):
        from_table(MedSADCLIPPlan, table, "here")
