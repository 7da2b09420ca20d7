"""RASALoRE: slice labels → prompts → pseudo masks → a network that draws lesions."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainad.case import PreparedCase, TrainingCase
from brainad.encoders.sam import Segmenter, load_segmenter
from brainad.encoders.slicing import SliceFrame
from brainad.encoders.vision_language import load_vision_language
from brainad.errors import DataError, UsageError
from brainad.files import value_hash
from brainad.method import Overlay, Scope, Session
from brainad.methods.rasalore.crops import HALF, CropMaker, Crops
from brainad.methods.rasalore.drawing_volumes import (
    averaged_through_plane,
    draw_case,
    slice_scores,
)
from brainad.methods.rasalore.entering import EnteringSlices
from brainad.methods.rasalore.examples import (
    Example,
    find_examples,
    grey_slices,
    rows_by_case,
    spread_examples,
)
from brainad.methods.rasalore.grey import gamma_corrected
from brainad.methods.rasalore.mask_making import MaskMaker
from brainad.methods.rasalore.network import Rasalore
from brainad.methods.rasalore.plan import NO_SEGMENTER, RasalorePlan
from brainad.methods.rasalore.prompt_tuning import PromptTuning
from brainad.methods.rasalore.segmenter_masks import segment
from brainad.methods.rasalore.stage_one import tune_prompts
from brainad.methods.rasalore.stage_two import NetworkTrainer
from brainad.plan import Resources
from brainad.prediction import Prediction
from brainad.training.features import keep_rows
from brainad.training.seeding import seed_everything, stream_seed
from brainad.volume import Volume

_log = logging.getLogger(__name__)

_PREFIX = "network."
_COUNTER = "num_batches_tracked"


class RASALoRE:
    """The method.

    Args:
        plan: settings.
        resources: device and weights; the encoder of stage 1 is loaded when `fit` needs it,
            because nothing but the network is used for prediction.
    """

    def __init__(self, plan: RasalorePlan, resources: Resources) -> None:
        self._plan = plan
        self._resources = resources
        self._device = torch.device(resources.device)
        self._network: Rasalore | None = None

    @property
    def scope(self) -> Scope:
        """Every case is judged alone."""
        return Scope.CASE

    @property
    def channels(self) -> tuple[str, ...]:
        """Image channels that have an attention of their own, the bridge first."""
        return self._plan.channels

    def fit(self, cases: Sequence[TrainingCase], session: Session) -> None:
        """Learn from slice labels: prompts, pseudo masks, network.

        Raises:
            UsageError: labels, a class or weights are missing, or no pseudo mask is usable.
        """
        healthy, anomalous = self._choose(cases)
        known = spread_examples(healthy, self._plan.tuning.slices_per_class)
        maker, entering = self._learn_prompts(cases, known, anomalous, session)
        anomalous = spread_examples(anomalous, self._plan.training.slices)
        masks = maker.keep(cases, anomalous, known, entering, session)
        session.show("pseudo_masks", self._draw_overlays(cases, anomalous, masks))
        crops = self._cut(cases, healthy, anomalous, masks, session)
        self._network = self._train(crops, session)

    def pseudo_masks(
        self, cases: Sequence[TrainingCase], examples: Sequence[Example], session: Session
    ) -> NDArray[np.uint8]:
        """Draw masks of further slices as stage 1 does, to compare them with the network's.

        Args:
            cases: of the training, then others, without labels.
            examples: slices of any of them that show an anomaly.
            session: of the training, with its stage 1.

        Returns:
            (n, rows, columns) 0 or 255, on the grid of the slices.
        """
        healthy, anomalous = self._choose(cases)
        known = spread_examples(healthy, self._plan.tuning.slices_per_class)
        maker, entering = self._learn_prompts(cases, known, anomalous, session)
        entering.keep(cases, examples)
        return maker.keep(cases, examples, known, entering, session)

    def predict(self, cases: Sequence[PreparedCase]) -> Iterator[Prediction]:
        """Yield one prediction per case, in order."""
        if self._network is None:
            raise UsageError(
                "rasalore has not been trained",
                "rasalore",
                "run brainad_train DATASET rasalore FOLD, or name a model folder",
            )
        for case in cases:
            yield self._predict(self._network, case)

    def state_dict(self) -> dict[str, Any]:
        """Return the network, point embeddings included."""
        if self._network is None:
            return {"fitted": False}
        arrays = {
            _PREFIX + name: tensor.detach().cpu().numpy()
            for name, tensor in self._network.state_dict().items()
            if not name.endswith(_COUNTER)
        }
        return {"fitted": True, **arrays}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the network."""
        self._network = None
        if not state["fitted"]:
            return
        network = self._build_network()
        tensors = {
            name.removeprefix(_PREFIX): torch.from_numpy(np.array(array))
            for name, array in state.items()
            if name.startswith(_PREFIX)
        }
        counters = {k: v for k, v in network.state_dict().items() if k.endswith(_COUNTER)}
        network.load_state_dict({**counters, **tensors})
        self._network = network.eval()

    def _choose(self, cases: Sequence[TrainingCase]) -> tuple[list[Example], list[Example]]:
        """Return healthy and anomalous slices; both stages choose from the same anomalous ones.

        So their features are kept once.
        """
        plan = self._plan
        examples = find_examples(cases, plan.channels[0], plan.slice_axis, plan.least_pixels)
        healthy = [example for example in examples if not example.anomalous]
        anomalous = [example for example in examples if example.anomalous]
        most = max(plan.tuning.slices_per_class, plan.training.slices)
        return healthy, spread_examples(anomalous, most)

    def _learn_prompts(
        self,
        cases: Sequence[TrainingCase],
        healthy: list[Example],
        anomalous: list[Example],
        session: Session,
    ) -> tuple[MaskMaker, EnteringSlices]:
        """Tune the prompts; all anomalous slices are kept for the masks."""
        plan = self._plan
        tuning = self._build_tuning()
        x, y, z = np.asarray(cases[0].case.brain).shape
        frame = SliceFrame.fitting(
            (x, y, z), plan.slice_axis, plan.tuning.image_size, tuning.patch_size
        )
        chosen = [*healthy, *spread_examples(anomalous, plan.tuning.slices_per_class)]
        entering = EnteringSlices(tuning, frame, plan.channels[0], session)
        entering.keep(cases, [*chosen, *anomalous])
        if plan.tuning.views.mirrored:
            entering.keep(cases, chosen, mirrored=True)
        sick = sum(example.anomalous for example in chosen)
        _log.info("stage 1: %d slices, %d of them anomalous", len(chosen), sick)
        tune_prompts(tuning, entering, chosen, plan.tuning, plan.seed, session)
        slice_mm = cases[0].case.placement.working.spacing_mm[plan.slice_axis]
        return MaskMaker(tuning, frame, plan.slice_axis, slice_mm, plan.masks), entering

    def _build_tuning(self) -> PromptTuning:
        plan = self._plan
        towers = load_vision_language(plan.encoder, self._resources.weights, self._device)
        if not plan.prompts.first_block < plan.prompts.depth <= towers.image.depth:
            raise UsageError(
                f"depth {plan.prompts.depth} and first_block {plan.prompts.first_block} for "
                f"{plan.encoder}, which has {towers.image.depth} blocks",
                "plan, rasalore.prompts",
                f"choose a depth up to {towers.image.depth} and an earlier first_block",
            )
        seed_everything(stream_seed(plan.seed, "prompts"))
        return PromptTuning(towers, plan.prompts).to(self._device)

    def _cut(
        self,
        cases: Sequence[TrainingCase],
        healthy: list[Example],
        anomalous: list[Example],
        masks: NDArray[np.uint8],
        session: Session,
    ) -> Crops:
        """Cut the crops of usable anomalous slices and, if planned, of healthy ones."""
        plan = self._plan
        areas = np.count_nonzero(np.asarray(masks) > HALF, axis=(1, 2))
        usable = np.flatnonzero(areas >= max(plan.least_mask, 1))
        if not usable.size:
            raise UsageError(
                f"none of {len(anomalous)} pseudo masks has {plan.least_mask} pixels",
                "rasalore, after stage 1",
                "look at the pseudo masks; more tuning.epochs, or another masks.threshold",
            )
        _log.info("stage 2: %d of %d pseudo masks are usable", usable.size, len(anomalous))
        chosen = [anomalous[number] for number in usable]
        weak = [np.asarray(masks[number]) for number in usable]
        second = self._segment(cases, chosen, weak, session)
        if plan.training.healthy_share:
            healthy = spread_examples(healthy, plan.training.slices)
            empty = np.zeros_like(weak[0])
            chosen, weak = chosen + healthy, weak + [empty] * len(healthy)
            second += [empty] * len(healthy)
        maker = CropMaker(plan.channels, plan.slice_axis, plan.network.image, plan.network.mask)
        key = value_hash([asdict(example) for example in chosen])
        return maker.cut(cases, chosen, weak, second, session, key)

    def _segment(
        self,
        cases: Sequence[TrainingCase],
        examples: list[Example],
        weak: list[NDArray[np.uint8]],
        session: Session,
    ) -> list[NDArray[np.uint8]]:
        """Ask the segmenter, which takes seconds per slice on a CPU; its answers are kept."""
        plan = self._plan
        if plan.medsam == NO_SEGMENTER:
            return [np.zeros_like(weak[0])] * len(weak)
        asked = [asdict(example) for example in examples]
        content = hashlib.sha256(np.stack(weak).tobytes()).hexdigest()

        @functools.cache
        def segmenter() -> Segmenter:
            _log.info("asking %s about %d slices", plan.medsam, len(examples))
            return load_segmenter(plan.medsam, self._resources.weights, self._device)

        @functools.lru_cache(maxsize=1)
        def bright(number: int) -> NDArray[np.uint8]:
            return gamma_corrected(self._slices(cases[number].case))

        def ask(rows: Sequence[int]) -> NDArray[np.uint8]:
            drawn = []
            for row in rows:
                number, index = examples[row].case, examples[row].index
                seed = stream_seed(plan.seed, "box", number, index)
                drawn.append(segment(segmenter(), bright(number)[index], weak[row], seed))
            return np.stack(drawn)

        drawn = keep_rows(
            session,
            "rasalore/segmenter_masks",
            value_hash([plan.medsam, plan.seed, asked, content]),
            ((len(weak), *weak[0].shape), "uint8"),
            ask,
            batch=1,
        )
        session.show("segmenter_masks", self._draw_overlays(cases, examples, drawn))
        return list(drawn)

    def _slices(self, case: PreparedCase) -> NDArray[np.uint8]:
        return grey_slices(case, self._plan.channels[0], self._plan.slice_axis)

    def _draw_overlays(
        self,
        cases: Sequence[TrainingCase],
        examples: list[Example],
        masks: NDArray[np.uint8],
    ) -> Iterator[Overlay]:
        for number, rows in rows_by_case(examples).items():
            case = cases[number].case
            slices = self._slices(case)
            for row in rows:
                index = examples[row].index
                mask = np.asarray(masks[row]) > HALF
                yield Overlay(f"{case.case_id}_slice_{index:03d}", slices[index].copy(), mask)

    def _build_network(self) -> Rasalore:
        plan = self._plan
        return Rasalore(
            plan.network,
            plan.channels,
            stream_seed(plan.seed, "points"),
            integer_frequencies=plan.integer_frequencies,
        ).to(self._device)

    def _train(self, crops: Crops, session: Session) -> Rasalore:
        plan = self._plan
        seed_everything(stream_seed(plan.seed, "network"))
        network = self._build_network()
        trainer = NetworkTrainer(
            network, plan.channels, plan.network, plan.losses, plan.training, plan.seed
        )
        trainer.choose_negatives(crops)
        trainer.train_bridge(crops, session)
        if len(plan.channels) > 1:
            trainer.train_channels(crops, session)
            trainer.measure_agreement(crops)
        return network.eval()

    def _predict(self, network: Rasalore, case: PreparedCase) -> Prediction:
        plan = self._plan
        if not set(plan.channels) & set(case.images):
            raise DataError(
                f"none of the channels {', '.join(plan.channels)} is there, "
                f"only {', '.join(sorted(case.images))}",
                case.case_id,
                f"add one of {', '.join(plan.channels)}, or train with the channels that exist",
            )
        drawn = draw_case(
            network,
            case,
            plan.channels,
            plan.slice_axis,
            plan.network.image,
            plan.least_pixels,
            plan.batch_size,
        )
        spacing = case.placement.working.spacing_mm
        if plan.through_plane:
            reach = plan.through_plane / spacing[plan.slice_axis]
            drawn = averaged_through_plane(drawn, np.asarray(case.brain), plan.slice_axis, reach)
        scores = slice_scores(drawn, plan.slice_axis, spacing)
        anomaly_map = Volume(drawn, case.placement.working)
        return Prediction(case.case_id, anomaly_map, float(scores.max()), scores)
