"""Training on kept features: random sets of channels, one optimiser, one loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import mse_loss

from brainad.method import Session
from brainad.methods.anyad.alignment import RunningMoments, SubsetStatistics
from brainad.methods.anyad.features import CaseFeatures, FeatureSet
from brainad.methods.anyad.losses import Moments
from brainad.methods.anyad.model import TrainedModel
from brainad.methods.anyad.objective import loss_terms, mean_of, plain, step
from brainad.methods.anyad.optimiser import StableAdamW
from brainad.methods.anyad.plan import AnyADPlan
from brainad.methods.anyad.subsets import Subset, all_subsets, draw_subset
from brainad.training.loop import run_epochs
from brainad.training.sampling import shuffled_batches
from brainad.training.schedules import ScheduledRate, WarmUpCosine
from brainad.training.seeding import seed_everything, stream_seed

_STAGE = "reconstruction"
_LONGEST_WARM_UP, _WARM_UP_SHARE = 100, 0.1
# Keeps the adapter from changing what needs no alignment (3.4).
_IDENTITY_WEIGHT = 0.1
_CHECKPOINTS = 10


def train(
    data: FeatureSet,
    channels: tuple[str, ...],
    width: int,
    plan: AnyADPlan,
    device: torch.device,
    session: Session,
) -> TrainedModel:
    """Train from scratch, or go on where the session's checkpoint stopped.

    Args:
        data: kept features of normal slices.
        channels: that occur in them.
        width: of an encoder token.
        plan: settings.
        device: where the network computes.
        session: checkpoints and progress.
    """
    statistics = None
    if plan.alignment != "none":
        statistics = measure_statistics(data, channels, brain_only=plan.tokens_per_slice > 0)
    seed_everything(stream_seed(plan.seed, "weights"))
    model = TrainedModel(channels, width, plan, statistics).to(device)
    optimiser = StableAdamW(model.parameters(), plan.learning_rate, plan.weight_decay)
    per_epoch = sum(1 for _ in deal(data, plan, 0))
    total = plan.epochs * per_epoch
    warm_up = min(_LONGEST_WARM_UP, int(_WARM_UP_SHARE * total))
    rate = ScheduledRate(
        optimiser, WarmUpCosine(plan.learning_rate, plan.final_rate, total, warm_up)
    )

    def epoch(number: int) -> dict[str, float]:
        model.train()
        measured = []
        for batch in deal(data, plan, number):
            terms = batch_terms(model, data, batch, plan, device)
            groups = [part for part in (model.network, model.adapter) if part is not None]
            step(terms["loss"], optimiser, groups, plan.gradient_limit)
            rate.step()
            measured.append(plain(terms))
        return mean_of(measured)

    run_epochs(
        _STAGE,
        plan.epochs,
        {"model": model, "optimiser": optimiser, "rate": rate},
        epoch,
        plan.seed,
        session,
        keep_every=max(plan.epochs // _CHECKPOINTS, 1),
    )
    return model.eval().requires_grad_(False)


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step looks at.

    Args:
        slices: (B,) numbers of slices.
        available: channels that their cases have.
        subset: channels that are shown.
        tokens: (B, n) tokens that are shown, None for all.
    """

    slices: NDArray[np.intp]
    available: Subset
    subset: Subset
    tokens: NDArray[np.intp] | None


def deal(data: FeatureSet, plan: AnyADPlan, epoch: int) -> Iterator[Batch]:
    """Yield the batches of an epoch.

    A set of channels is drawn for every batch (specification, section 0); without channel dropout
    it holds all channels that the slices have.
    """
    rng = np.random.default_rng(stream_seed(plan.seed, "batches", epoch))
    batches = [
        (members[batch], available)
        for available, members in data.by_channels().items()
        for batch in shuffled_batches(members.size, plan.batch_size, rng)
    ]
    for number in rng.permutation(len(batches)):
        slices, available = batches[int(number)]
        subset = draw_subset(available, rng) if plan.channel_dropout else available
        yield Batch(slices, available, subset, data.draw_tokens(slices, plan.tokens_per_slice, rng))


def batch_terms(
    model: TrainedModel, data: FeatureSet, batch: Batch, plan: AnyADPlan, device: torch.device
) -> dict[str, Tensor]:
    """Compute the loss terms of a batch."""
    loaded = data.load(batch.slices, batch.subset, batch.tokens)
    shallow, raw = (each.to(device) for each in loaded)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        deep = model.aligned(raw, batch.subset)
        rebuilt = model.network(shallow, deep)
    reference = None if plan.alignment == "moment" else model.reference(raw)
    terms = loss_terms(shallow, deep.float(), rebuilt, reference, plan.loss)
    if model.adapter is not None:
        _, deep_of_all = data.load(batch.slices, batch.available, batch.tokens)
        whole = deep_of_all.to(device)
        terms["identity"] = mse_loss(model.adapter(whole, batch.available), whole)
        terms["loss"] = terms["loss"] + plan.loss.alignment * _IDENTITY_WEIGHT * terms["identity"]
    return terms


def measure_statistics(
    data: FeatureSet, channels: tuple[str, ...], brain_only: bool
) -> SubsetStatistics:
    """Measure the deep features of all sets of channels that occur, and of all there is.

    Args:
        data: kept features.
        channels: that occur in them.
        brain_only: leave out tokens that show no brain.
    """
    subsets = {}
    for subset in all_subsets(channels):
        able = [case for case in data.cases if set(subset) <= set(case.channels)]
        if able:
            subsets[subset] = _moments(data, [(case, subset) for case in able], brain_only)
    whole = [(case, case.channels) for case in data.cases]
    return SubsetStatistics(_moments(data, whole, brain_only), subsets)


def _moments(
    data: FeatureSet, seen: Sequence[tuple[CaseFeatures, Subset]], brain_only: bool
) -> Moments:
    """Measure deep features of cases, each seen through a set of channels."""
    running: RunningMoments | None = None
    for case, subset in seen:
        _, deep = data.of_case(case, subset)
        tokens = deep[torch.from_numpy(case.inside)] if brain_only else deep.flatten(0, 1)
        running = running or RunningMoments(tokens.shape[1])
        running.add(tokens.numpy())
    assert running is not None, "there is at least one case"
    return running.moments()
