"""Stage 2: the network learns from pseudo masks (specification 6, 8, 10.5)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainad.method import Session
from brainad.methods.rasalore.augmentation import Freedom, augment
from brainad.methods.rasalore.crops import HALF, Crops
from brainad.methods.rasalore.losses import (
    LossSettings,
    Targets,
    alignment_loss,
    stage_two_loss,
)
from brainad.methods.rasalore.network import Drawing, NetworkSize, Rasalore
from brainad.methods.rasalore.overlap import soft_dice
from brainad.methods.rasalore.points import active_points
from brainad.methods.rasalore.schedules import halving_rate
from brainad.methods.rasalore.stage_one import make_optimiser
from brainad.training.loop import Stateful, run_epochs
from brainad.training.sampling import shuffled_batches
from brainad.training.schedules import WarmUpCosine
from brainad.training.seeding import stream_seed

_log = logging.getLogger(__name__)

BRIDGE_STAGE = "rasalore_bridge"
CHANNEL_STAGE = "rasalore_channels"


@dataclass(frozen=True)
class TrainingSettings:
    """How stage 2 learns; the defaults are the published ones.

    Args:
        slices: most anomalous slices, evenly spread over cases.
        epochs: in which the bridge channel learns alone.
        channel_epochs: in which all channels learn together; only with several channels.
        batch: slices per step.
        optimiser: ``sgd`` (rate halved every 20 epochs) or ``adam`` (cosine).
        rate: highest rate.
        clip: largest norm of the gradient; 0 does not clip.
        healthy_share: of every batch; healthy slices ask for an empty mask.
        augment: rotate, mirror, shade and add noise.
        freedom: how far augmentation moves slices.
    """

    slices: int = 100_000
    epochs: int = 200
    channel_epochs: int = 60
    batch: int = 16
    optimiser: Literal["sgd", "adam"] = "sgd"
    rate: float = 0.01
    clip: float = 0.0
    healthy_share: float = 0.0
    augment: bool = True
    freedom: Freedom = field(default_factory=Freedom)


@dataclass(frozen=True, eq=False)
class Lesson:
    """One batch.

    Args:
        images: (n, channels, image, image) float, 0 … 255.
        present: (n, channels) bool.
        targets: what the drawings are compared with.
    """

    images: Tensor
    present: Tensor
    targets: Targets


class NetworkTrainer:
    """Trains the network on crops.

    Args:
        network: learns in place; its first channel is the bridge.
        channels: names of the crops' channels.
        size: of the network.
        losses: weights of the losses.
        settings: rates and numbers.
        seed: of the training.
    """

    def __init__(
        self,
        network: Rasalore,
        channels: Sequence[str],
        size: NetworkSize,
        losses: LossSettings,
        settings: TrainingSettings,
        seed: int,
    ) -> None:
        self._network = network
        self._channels = tuple(channels)
        self._size = size
        self._losses = losses
        self._settings = settings
        self._seed = seed
        self._device = network.points.device

    def train_bridge(self, crops: Crops, session: Session) -> None:
        """Train with the first channel alone."""
        self._run(BRIDGE_STAGE, self._settings.epochs, 1, crops, session)

    def train_channels(self, crops: Crops, session: Session) -> None:
        """Train all channels together, starting from the bridge's attention."""
        self._network.copy_attention(self._channels[0])
        channels = len(self._channels)
        self._run(CHANNEL_STAGE, self._settings.channel_epochs, channels, crops, session)

    def choose_negatives(self, crops: Crops) -> None:
        """Show a channel in the negative if its lesions are dark and the bridge's are not.

        Or the other way round. Attention that learnt to look for bright lesions finds none where
        they are dark, and hardly learns to.
        """
        contrasts = [_contrast(crops, channel) for channel in range(len(self._channels))]
        unlike = [contrast * contrasts[0] < 0 for contrast in contrasts]
        self._network.negative.copy_(torch.tensor(unlike))
        names = [name for name, negative in zip(self._channels, unlike, strict=True) if negative]
        if names:
            _log.info("shown in the negative: %s", ", ".join(names))

    @torch.no_grad()
    def measure_agreement(self, crops: Crops) -> None:
        """Compare what each channel draws with the pseudo masks, for the fusion of channels."""
        for channel, name in enumerate(self._channels):
            rows = np.flatnonzero(crops.anomalous & crops.present[:, channel])
            overlaps = []
            for start in range(0, rows.size, self._settings.batch):
                chosen = rows[start : start + self._settings.batch]
                shown = self._network.shown(name, crops.images[chosen, channel])
                images = torch.from_numpy(shown.astype(np.float32))
                drawing = self._network(images[:, None].to(self._device), name)
                weak = torch.from_numpy(crops.large[chosen] > HALF).to(self._device)
                overlaps.append(soft_dice((drawing.logits > 0).float(), weak.float()))
            if overlaps:
                self._network.agreement[channel] = torch.cat(overlaps).mean()
        measured = zip(self._channels, self._network.agreement.tolist(), strict=True)
        _log.info("Dice with the pseudo masks: %s", ", ".join(f"{c} {d:.2f}" for c, d in measured))

    def _run(self, stage: str, epochs: int, used: int, crops: Crops, session: Session) -> None:
        settings = self._settings
        optimiser = make_optimiser(settings.optimiser, [list(self._network.parameters())], 0.0)
        cosine = WarmUpCosine(settings.rate, final=0.0, total=epochs, warm_up=0)

        def epoch(number: int) -> Mapping[str, float]:
            optimiser.param_groups[0]["lr"] = (
                halving_rate(number, settings.rate)
                if settings.optimiser == "sgd"
                else cosine.rate(number)
            )
            rng = np.random.default_rng(stream_seed(self._seed, stage, number))
            self._network.train()
            measured: list[dict[str, float]] = []
            for batch in self._batches(crops, rng):
                losses = self._step(self._lesson(crops, batch, used, rng), optimiser)
                measured.append(losses)
            return {
                name: float(np.mean([losses[name] for losses in measured])) for name in measured[0]
            }

        parts: Mapping[str, Stateful] = {"network": self._network, "optimiser": optimiser}
        run_epochs(stage, epochs, parts, epoch, self._seed, session)
        self._network.eval()

    def _batches(self, crops: Crops, rng: np.random.Generator) -> list[NDArray[np.intp]]:
        """Deal the anomalous slices into batches and add healthy ones to each."""
        anomalous = np.flatnonzero(crops.anomalous)
        healthy = np.flatnonzero(~crops.anomalous)
        added = round(self._settings.batch * self._settings.healthy_share) if healthy.size else 0
        dealt = shuffled_batches(anomalous.size, max(self._settings.batch - added, 1), rng)
        if not added:
            return [anomalous[batch] for batch in dealt]
        return [np.concatenate([anomalous[batch], rng.choice(healthy, added)]) for batch in dealt]

    def _lesson(
        self, crops: Crops, batch: NDArray[np.intp], used: int, rng: np.random.Generator
    ) -> Lesson:
        shown = [
            self._network.shown(name, crops.images[batch, channel])
            for channel, name in enumerate(self._channels[:used])
        ]
        images, masks = [], []
        for place, row in enumerate(batch):
            pictures = [channel[place] for channel in shown]
            drawn = [crops.small[row], crops.large[row], crops.segmenter[row]]
            if self._settings.augment:
                pictures, drawn = augment(pictures, drawn, self._settings.freedom, rng)
            images.append(np.stack(pictures))
            masks.append(drawn)
        small, large, segmenter = (
            torch.from_numpy(np.stack(stack) > HALF).float().to(self._device)
            for stack in zip(*masks, strict=True)
        )
        return Lesson(
            torch.from_numpy(np.stack(images).astype(np.float32)).to(self._device),
            torch.from_numpy(crops.present[batch][:, :used]),
            Targets(
                weak=large,
                points=active_points(small, self._size.points),
                segmenter=segmenter,
                anomalous=torch.from_numpy(crops.anomalous[batch]).to(self._device),
            ),
        )

    def _step(self, lesson: Lesson, optimiser: torch.optim.Optimizer) -> dict[str, float]:
        losses = lesson_losses(self._network, self._channels, lesson, self._losses)
        total = torch.stack(list(losses.values())).sum()
        optimiser.zero_grad()
        total.backward()
        if self._settings.clip:
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._settings.clip)
        optimiser.step()
        return {"loss": total.item(), **{name: loss.item() for name, loss in losses.items()}}


def _contrast(crops: Crops, channel: int) -> float:
    """Return how much brighter a channel is inside pseudo masks than in the rest of the brain."""
    sums, counts = np.zeros(2), np.zeros(2)
    for row in np.flatnonzero(crops.anomalous & crops.present[:, channel]):
        inside, image = crops.small[row] > HALF, crops.images[row, channel]
        for place, chosen in enumerate((inside, ~inside & (image > 0))):
            sums[place] += image[chosen].sum()
            counts[place] += chosen.sum()
    inside_mean, outside_mean = sums / counts.clip(1)
    return float(inside_mean - outside_mean)


def lesson_losses(
    network: Rasalore, channels: Sequence[str], lesson: Lesson, settings: LossSettings
) -> dict[str, Tensor]:
    """Return the losses of a batch by name, averaged over slices and the channels they have.

    Every slice has the bridge, the first channel; the points of the others are drawn to its
    points.
    """
    count, used = lesson.present.shape
    chosen = {channels[c]: torch.nonzero(lesson.present[:, c])[:, 0] for c in range(used)}
    chosen = {name: rows for name, rows in chosen.items() if len(rows)}
    drawings = network.draw(
        {
            name: lesson.images[rows, list(channels).index(name)][:, None]
            for name, rows in chosen.items()
        }
    )
    per_slice = 1 / lesson.present.sum(1).clamp(min=1).to(lesson.images)
    totals: dict[str, Tensor] = {}
    for name, rows in chosen.items():
        for part, loss in stage_two_loss(
            drawings[name], _rows(lesson.targets, rows), settings
        ).items():
            totals[part] = totals.get(part, 0.0) + (loss * per_slice[rows]).sum() / count
    if used > 1:
        totals["alignment"] = settings.alignment * _alignment(
            drawings, chosen, channels[0], lesson, settings
        )
    return totals


def _alignment(
    drawings: Mapping[str, Drawing],
    chosen: Mapping[str, Tensor],
    bridge: str,
    lesson: Lesson,
    settings: LossSettings,
) -> Tensor:
    """Return the alignment of a batch: a mean over the other channels of each slice."""
    count = len(lesson.images)
    total = lesson.images.new_zeros(())
    others = 1 / lesson.present[:, 1:].sum(1).clamp(min=1).to(lesson.images)
    for name, rows in chosen.items():
        if name == bridge:
            continue
        theirs = drawings[bridge].embeddings[rows]
        loss = alignment_loss(drawings[name].embeddings, theirs, settings.alignment_reduction)
        total = total + (loss * others[rows]).sum() / count
    return total


def _rows(targets: Targets, rows: Tensor) -> Targets:
    return Targets(
        targets.weak[rows], targets.points[rows], targets.segmenter[rows], targets.anomalous[rows]
    )
