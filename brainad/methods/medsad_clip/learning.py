"""Learning: frozen features once, then epochs of balanced batches."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainad.encoders.slicing import SliceFrame
from brainad.encoders.vision_language import VisionLanguage
from brainad.files import value_hash
from brainad.method import Session
from brainad.methods.medsad_clip.adapter import Advance
from brainad.methods.medsad_clip.classification import margin_ceiling
from brainad.methods.medsad_clip.network import MedSADNetwork
from brainad.methods.medsad_clip.objective import BatchTruth, Objective
from brainad.methods.medsad_clip.plan import MedSADCLIPPlan
from brainad.methods.medsad_clip.training_slices import ChosenSlices, SliceReader
from brainad.methods.medsad_clip.trunk import Trunk
from brainad.methods.medsad_clip.views import Views
from brainad.training.features import keep_features, kept_size_gb
from brainad.training.loop import Stateful, run_epochs
from brainad.training.schedules import ScheduledRate, WarmUpCosine

_log = logging.getLogger(__name__)
STAGE = "medsad_clip"


@dataclass(frozen=True, eq=False)
class Source:
    """Where training rows come from; a row is one version of one slice.

    Args:
        chosen: slices, case after case.
        reader: reads their versions.
        case_ids: names of the cases that `chosen` counts.
    """

    chosen: ChosenSlices
    reader: SliceReader
    case_ids: Sequence[str]


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Everything that stays the same during training, one array per case.

    Args:
        features: per case (rows, taps, tokens, width) float16; with write-back only the first
            tap, because the others depend on what is learnt.
        masks: per case (rows, height, width) bool.
        abnormal: (slices,) bool.
        labelled: (slices,) bool.
        views: versions of each slice.
        grid: rows and columns of patches.
    """

    features: Sequence[NDArray[np.float16]]
    masks: Sequence[NDArray[np.bool_]]
    abnormal: NDArray[np.bool_]
    labelled: NDArray[np.bool_]
    views: int
    grid: tuple[int, int]

    def take(self, numbers: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return features and masks of some rows, counted over all cases."""
        ends = np.cumsum([len(each) for each in self.features])
        cases = np.searchsorted(ends, numbers, side="right")
        places = numbers - np.concatenate([[0], ends])[cases]
        pairs = list(zip(cases.tolist(), places.tolist(), strict=True))
        features = np.stack([self.features[case][place] for case, place in pairs])
        return features.astype(np.float32), np.stack([self.masks[c][p] for c, p in pairs])


def row_size_gb(plan: MedSADCLIPPlan, frame: SliceFrame, towers: VisionLanguage) -> float:
    """Return the disk space of one version of one slice."""
    return kept_size_gb(1, _row_shape(plan, frame, towers))


def _row_shape(
    plan: MedSADCLIPPlan, frame: SliceFrame, towers: VisionLanguage
) -> tuple[int, int, int]:
    image = towers.image
    patches = (frame.height // image.patch_size) * (frame.width // image.patch_size)
    return (1 if plan.writes_back else len(plan.taps), image.leading + patches, image.width)


def compute_rows(
    plan: MedSADCLIPPlan,
    frame: SliceFrame,
    towers: VisionLanguage,
    source: Source,
    session: Session,
) -> TrainingRows:
    """Run the frozen part of the tower over all versions of all slices, or find it done.

    Args:
        plan: settings.
        frame: how slices are sized.
        towers: frozen.
        source: slices and who reads them.
        session: lends the disk space.
    """
    chosen, trunk = source.chosen, Trunk(towers.image, plan.taps)
    views = len(Views(plan.augmented_views, plan.mirrored, plan.seed))
    shape = _row_shape(plan, frame, towers)
    _log.info("%d slices in %d versions, %.2g GB of features", len(chosen), views,
              kept_size_gb(len(chosen) * views, shape))  # fmt: skip
    features, all_masks = [], []
    for case in np.unique(chosen.case).tolist():
        slices = np.flatnonzero(chosen.case == case)
        first, count = int(slices[0]) * views, len(slices) * views
        name = f"{STAGE}/{source.case_ids[case]}"
        key = _key(plan, towers.identity, frame, chosen, slices)
        masks = session.array(f"{name}_masks", key, (count, frame.height, frame.width), "bool")

        def compute(
            numbers: Sequence[int], first: int = first, masks: NDArray[Any] = masks
        ) -> NDArray[Any]:
            images, truth = source.reader.read([first + number for number in numbers])
            masks[list(numbers)] = truth
            cut = torch.from_numpy(images)
            found = trunk.enter(cut)[:, None] if plan.writes_back else trunk.all_taps(cut)
            return found.cpu().numpy()

        features.append(keep_features(session, name, key, (count, *shape), compute))
        all_masks.append(masks)
    patch = towers.image.patch_size
    grid = (frame.height // patch, frame.width // patch)
    return TrainingRows(features, all_masks, chosen.abnormal, chosen.labelled, views, grid)


def _key(
    plan: MedSADCLIPPlan,
    towers: str,
    frame: SliceFrame,
    chosen: ChosenSlices,
    slices: NDArray[np.intp],
) -> str:
    """Identify what the rows of a case hold: tower, taps, versions and the slices themselves."""
    settings = [towers, plan.taps, plan.writes_back, plan.augmented_views, plan.mirrored]
    content = [each[slices].tolist() for each in (chosen.index, chosen.checksum)]
    return value_hash([settings, plan.seed, asdict(frame), content])


class Learner:
    """One epoch after the other.

    Args:
        plan: settings.
        towers: frozen.
        network: what learns.
        rows: what it learns from.
    """

    def __init__(
        self,
        plan: MedSADCLIPPlan,
        towers: VisionLanguage,
        network: MedSADNetwork,
        rows: TrainingRows,
    ) -> None:
        self._plan = plan
        self._towers = towers
        self._network = network
        self._rows = rows
        self._trunk = Trunk(towers.image, plan.taps)
        self._objective = Objective(plan.losses, plan.margin, plan.gamma)
        self._learnt = [each for each in network.parameters() if each.requires_grad]
        self._optimiser = torch.optim.Adam(_groups(network, plan), lr=plan.rate, betas=plan.betas)
        steps, warm_up = plan.epochs * plan.batches_per_epoch, plan.batches_per_epoch
        schedule = WarmUpCosine(plan.rate, plan.final_rate, total=steps, warm_up=warm_up)
        self._rate = ScheduledRate(self._optimiser, schedule)

    def run(self, session: Session) -> None:
        """Learn, or go on where an earlier run stopped."""
        self._network.train()
        parts: dict[str, Stateful] = {
            "network": self._network,
            "optimiser": self._optimiser,
            "rate": self._rate,
        }
        run_epochs(STAGE, self._plan.epochs, parts, self._epoch, self._plan.seed, session)
        self._network.eval()

    def _epoch(self, number: int) -> Mapping[str, float]:
        rng = np.random.default_rng([self._plan.seed, number])
        sums: dict[str, float] = {}
        for _ in range(self._plan.batches_per_epoch):
            for name, value in self._step(self._draw(rng)).items():
                sums[name] = sums.get(name, 0.0) + value
        means = {name: value / self._plan.batches_per_epoch for name, value in sums.items()}
        with torch.no_grad():
            ceiling = margin_ceiling(self._network.read(self._towers.text).prototypes)
        return {**means, "margin_ceiling": ceiling}

    def _draw(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """Draw the rows of a batch: half of the slices show a lesion; any version of each."""
        half = self._plan.batch // 2
        kinds = [np.flatnonzero(self._rows.abnormal), np.flatnonzero(~self._rows.abnormal)]
        sizes = (half, self._plan.batch - half)
        slices = [
            rng.choice(kind, size, replace=size > len(kind))
            for kind, size in zip(kinds, sizes, strict=True)
        ]
        views = rng.integers(self._rows.views, size=self._plan.batch)
        rows: NDArray[np.intp] = np.concatenate(slices) * self._rows.views + views
        return rows

    def _step(self, numbers: NDArray[np.intp]) -> dict[str, float]:
        rows, device = self._rows, self._towers.image.device
        slices = numbers // rows.views
        features, masks = rows.take(numbers)
        truth = BatchTruth(
            torch.from_numpy(masks).to(device),
            torch.from_numpy(rows.abnormal[slices]).to(device),
            torch.from_numpy(rows.labelled[slices]).to(device),
        )
        kept = torch.from_numpy(features).to(device)
        words = self._network.read(self._towers.text)
        output = self._network(kept[:, 0], self._advance(kept), rows.grid, words)
        loss, values = self._objective(output, truth)
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._learnt, self._plan.gradient_limit)
        self._optimiser.step()
        self._rate.step()
        return values

    def _advance(self, kept: Tensor) -> Advance:
        """Run the frozen blocks, or, where they do not depend on the adapters, look them up."""
        if self._plan.writes_back:
            return self._trunk.advance
        return lambda tap, _tokens: kept[:, tap]


def _groups(network: MedSADNetwork, plan: MedSADCLIPPlan) -> list[dict[str, Any]]:
    """Let only the text projection decay: it could open the margin freely and learn by heart."""
    of_text = list(network.text_projection.parameters()) if network.text_projection else []
    known = {id(parameter) for parameter in of_text}
    others = [p for p in network.parameters() if id(p) not in known and p.requires_grad]
    groups: list[dict[str, Any]] = [{"params": others}]
    if of_text:
        groups.append({"params": of_text, "weight_decay": plan.text_decay})
    return groups
