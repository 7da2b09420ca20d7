"""Epochs per hour of anyad's training: on kept features, and encoding again at every step.

Random images of the planned size; the planned network, batch and channels. A step that encodes
again shows the encoder every image that the step needs, as training without kept features would.

    python benchmarks/anyad_throughput.py [--steps 8] [--slices 600] [--channels 3]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from brainad.case import Placement, PreparedCase
from brainad.cli.tables import format_table
from brainad.encoders.choice import DEFAULT_ENCODER
from brainad.encoders.encoder import load_encoder
from brainad.methods.anyad.features import CaseSlices, FeatureSet, SliceEncoder
from brainad.methods.anyad.model import TrainedModel
from brainad.methods.anyad.objective import step
from brainad.methods.anyad.optimiser import StableAdamW
from brainad.methods.anyad.plan import AnyADPlan, make_plan
from brainad.methods.anyad.subsets import draw_subset
from brainad.methods.anyad.training import Batch, batch_terms, measure_statistics
from brainad.pipeline.resources import measure_resources
from brainad.plan import Fingerprint, PreprocessingPlan
from brainad.training.session import FolderSession
from brainad.volume import centred_grid
from brainad.workspace import find_workspace

CPU = torch.device("cpu")
SHAPE = (154, 182, 154)
NAMES = ("T1", "T2", "FLAIR", "T1CE")


def planned(channels: int) -> AnyADPlan:
    """Return the settings that the planner chooses for a CPU and many healthy cases."""
    preprocessing = PreprocessingPlan(
        channels=NAMES[:channels],
        brain_mask="nonzero",
        bias_field=False,
        coregister=False,
        registration="affine",
        template="mni152",
        working_shape=SHAPE,
        spacing_mm=1.0,
        landmarks={},
        slice_axis=2,
    )
    fingerprint = Fingerprint(1, "", "", (), {}, {"healthy": 20}, "healthy", (0, 0), 1.0, 1.0)
    resources = measure_resources(find_workspace({}).weights, "cpu")
    return replace(make_plan(fingerprint, preprocessing, resources), encoder=DEFAULT_ENCODER)


def random_case(channels: tuple[str, ...]) -> PreparedCase:
    """A brain-sized ellipsoid of noise."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    brain = np.square(axes).sum(axis=0) < 0.9
    images = {c: np.where(brain, rng.random(SHAPE), 0).astype(np.float32) for c in channels}
    grid = centred_grid(SHAPE, 1.0, np.zeros(3))
    return PreparedCase("random", images, brain, Placement(grid, grid, np.eye(4)))


def seconds_per_step(work: Callable[[], None], steps: int) -> float:
    """Time some steps after a first one."""
    work()
    started = time.perf_counter()
    for _ in range(steps):
        work()
    return (time.perf_counter() - started) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--slices", type=int, default=600, help="training slices of an epoch")
    parser.add_argument("--channels", type=int, default=3, choices=(1, 2, 3, 4))
    arguments = parser.parse_args()
    plan = planned(arguments.channels)
    channels = plan.channels
    encoder = load_encoder(plan.encoder, find_workspace({}).weights, CPU, published_positions=True)
    slicer = SliceEncoder(encoder, plan)
    case = random_case(channels)
    cut = slicer.slices(case, channels)
    cut = CaseSlices(case, channels, cut.positions[: plan.batch_size])
    with tempfile.TemporaryDirectory() as folder:
        kept = slicer.keep(cut, FolderSession(Path(folder), "", Path(folder)))
        data = FeatureSet([kept], slicer.layout)
        statistics = measure_statistics(data, channels, brain_only=True)
        model = TrainedModel(channels, encoder.width, plan, statistics)
        optimiser = StableAdamW(model.parameters(), 1e-4)
        rng = np.random.default_rng(0)

        def batches() -> Iterator[Batch]:
            slices = np.arange(len(data))
            while True:
                tokens = data.draw_tokens(slices, plan.tokens_per_slice, rng)
                yield Batch(slices, channels, draw_subset(channels, rng), tokens)

        deal = batches()

        def train(features: FeatureSet, batch: Batch) -> None:
            terms = batch_terms(model, features, batch, plan, CPU)
            parts = [part for part in (model.network, model.adapter) if part is not None]
            step(terms["loss"], optimiser, parts, plan.gradient_limit)

        def again() -> None:
            batch = next(deal)
            needed = batch.available if model.adapter is not None else batch.subset
            fresh = slicer.encode(cut, slicer.layout.sources(needed))
            train(FeatureSet([fresh], slicer.layout), batch)

        times = {
            "kept features": seconds_per_step(lambda: train(data, next(deal)), arguments.steps),
            "encoding again": seconds_per_step(again, arguments.steps),
        }
    per_epoch = arguments.slices / plan.batch_size
    rows = [
        {"training": name, "s/step": each, "epochs/hour": 3600 / (each * per_epoch)}
        for name, each in times.items()
    ]
    print(
        f"{torch.get_num_threads()} threads, {plan.encoder}, {arguments.channels} channels, "
        f"{plan.image_size} px, batch {plan.batch_size}, {arguments.slices} slices per epoch"
    )
    print(format_table(rows))
    print(f"gain: {times['encoding again'] / times['kept features']:.1f}")


if __name__ == "__main__":
    main()
