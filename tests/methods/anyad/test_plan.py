from __future__ import annotations

from dataclasses import replace

import pytest

from brainad.methods.anyad.plan import AnyADPlan, group_layers, make_plan, normal_slices
from brainad.plan import Fingerprint, Plan, Resources, from_table, to_table
from tests.planning.test_splits import case


@pytest.fixture
def fingerprint() -> Fingerprint:
    cases = tuple(case(f"c{n}", f"c{n}", "healthy" if n < 6 else "unhealthy") for n in range(10))
    return Fingerprint(1, "", "", cases, {}, {"healthy": 6}, "healthy", (300, 100), 1.0, 1.0)


def make(fingerprint: Fingerprint, plan: Plan, resources: Resources) -> AnyADPlan:
    preprocessing = replace(plan.preprocessing, working_shape=(182, 210, 100), spacing_mm=1.0)
    return make_plan(fingerprint, preprocessing, resources)


def test_the_paper_reads_eight_layers() -> None:
    assert group_layers(12) == (3, 4, 5, 6, 7, 8, 9, 10)
    assert group_layers(24) == (5, 7, 9, 11, 13, 15, 17, 19)
    assert max(group_layers(40)) <= 40


def test_slices_are_counted_from_cases_and_slice_labels(
    fingerprint: Fingerprint, plan: Plan
) -> None:
    preprocessing = replace(plan.preprocessing, working_shape=(182, 210, 100))
    # 80 of 100 slices hold brain, every fifth is looked at, 4 ill cases are normal to 3/4.
    assert normal_slices(fingerprint, preprocessing, 5) == pytest.approx(16 * (6 + 4 * 0.75))


def test_a_gpu_gets_the_published_size(
    fingerprint: Fingerprint, plan: Plan, resources: Resources
) -> None:
    cpu = make(fingerprint, plan, resources)
    rich = replace(resources, device="cuda:0", encoders=("dinov2_vitb14_reg",))
    gpu = make(fingerprint, plan, rich)
    assert (gpu.image_size, gpu.decoder_blocks, gpu.tokens_per_slice) == (392, 8, 0)
    assert gpu.encoder == "dinov2_vitb14_reg"
    assert cpu.image_size < gpu.image_size
    assert cpu.slice_step > gpu.slice_step
    assert cpu.channels == plan.preprocessing.channels


def test_epochs_follow_from_the_number_of_slices(
    fingerprint: Fingerprint, plan: Plan, resources: Resources
) -> None:
    few = make(fingerprint, plan, resources)
    cases = tuple(case(f"h{n}", f"h{n}", "healthy") for n in range(100))
    many = replace(fingerprint, cases=cases, label_counts={"healthy": 100})
    assert make(many, plan, resources).epochs < few.epochs
    preprocessing = replace(plan.preprocessing, working_shape=(182, 210, 100))
    slices = normal_slices(fingerprint, preprocessing, few.slice_step)
    steps = few.epochs * slices / few.batch_size
    assert steps == pytest.approx(600, rel=0.1)


def test_the_plan_tells_the_size_of_the_features(
    fingerprint: Fingerprint, plan: Plan, resources: Resources
) -> None:
    made = make(fingerprint, plan, resources)
    (reason,) = [reason for reason in made.reasons if reason.startswith("kept features")]
    assert "GB of at most 16" in reason
    assert from_table(AnyADPlan, to_table(made), "here") == made
