"""MedSAD-CLIP: a frozen vision-language encoder, adapted with lesion masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor

from brainad.case import PreparedCase, TrainingCase
from brainad.encoders.slicing import SliceFrame, filled_slices, pixel_mm2
from brainad.encoders.vision_language import VisionLanguage, load_vision_language
from brainad.errors import DataError, UsageError
from brainad.method import Scope, Session
from brainad.methods.medsad_clip.learning import Learner, Source, compute_rows, row_size_gb
from brainad.methods.medsad_clip.network import MedSADNetwork, Words
from brainad.methods.medsad_clip.patient_score import patient_score
from brainad.methods.medsad_clip.plan import MedSADCLIPPlan
from brainad.methods.medsad_clip.slice_score import map_odds, slice_scores
from brainad.methods.medsad_clip.training_slices import SliceReader, SliceRules, choose_slices
from brainad.methods.medsad_clip.trunk import Trunk
from brainad.methods.medsad_clip.views import Views
from brainad.plan import Resources
from brainad.prediction import Prediction
from brainad.training.seeding import seed_everything, stream_seed
from brainad.volume import Volume

_PREFIX = "network."
_PRIOR = "prior_logit"
_AT_ONCE = 8


class MedSADCLIP:
    """The method; every case is judged alone.

    Args:
        plan: settings.
        resources: device and weights.

    Raises:
        UsageError: weights are not here, or the plan does not fit them.
    """

    def __init__(self, plan: MedSADCLIPPlan, resources: Resources) -> None:
        self._plan = plan
        device = torch.device(resources.device)
        self._towers = load_vision_language(plan.encoder, resources.weights, device)
        _check(plan, self._towers)
        self._trunk = Trunk(self._towers.image, plan.taps)
        self._network: MedSADNetwork | None = None
        self._prior_logit = 0.0

    @property
    def scope(self) -> Scope:
        """CASE."""
        return Scope.CASE

    @property
    def channels(self) -> tuple[str, ...]:
        """The one channel that is looked at."""
        return (self._plan.channel,)

    def _frame(self, case: PreparedCase, axis: int) -> SliceFrame:
        x, y, z = np.asarray(case.brain).shape
        return SliceFrame.fitting(
            (x, y, z), axis, self._plan.longest_side, self._towers.image.patch_size
        )

    def fit(self, cases: Sequence[TrainingCase], session: Session) -> None:
        """Learn from cases with lesion masks.

        Raises:
            UsageError: no slice with a lesion, or none without.
        """
        plan = self._plan
        rules = SliceRules(
            plan.channel,
            plan.learning_step,
            plan.least_brain,
            plan.normal_per_abnormal,
            plan.normal_per_healthy,
            plan.smallest_area_mm2,
        )
        chosen = choose_slices(cases, plan.slice_axis, rules)
        frame = self._frame(cases[0].case, plan.slice_axis)
        views = Views(plan.augmented_views, plan.mirrored, plan.seed)
        space = row_size_gb(plan, frame, self._towers) * len(views)
        chosen = chosen.at_most(max(int(plan.kept_gb / space), 2))
        reader = SliceReader(cases, chosen, frame, views, plan.channel)
        names = [training.case.case_id for training in cases]
        rows = compute_rows(plan, frame, self._towers, Source(chosen, reader, names), session)
        self._network = self._new_network()
        self._prior_logit = float(np.log(chosen.abnormal_share / (1 - chosen.abnormal_share)))
        Learner(plan, self._towers, self._network, rows).run(session)

    def _new_network(self) -> MedSADNetwork:
        seed_everything(stream_seed(self._plan.seed, "network"))
        network = MedSADNetwork(self._plan.network, self._plan.anchors, self._towers)
        return network.to(self._towers.image.device).eval()

    def predict(self, cases: Sequence[PreparedCase]) -> Iterator[Prediction]:
        """Yield one prediction per case.

        Raises:
            UsageError: nothing was learnt yet.
            DataError: a case lacks the channel, or shows no brain.
        """
        if self._network is None:
            raise UsageError(
                "medsad_clip has learnt nothing yet",
                "-c medsad_clip",
                "train it: brainad_train DATASET medsad_clip FOLD",
            )
        with torch.no_grad():
            words = self._network.read(self._towers.text)
        for case in cases:
            yield self._predict(case, self._network, words)

    @torch.no_grad()
    def _predict(self, case: PreparedCase, network: MedSADNetwork, words: Words) -> Prediction:
        plan, brain = self._plan, np.asarray(case.brain)
        if plan.channel not in case.images:
            raise DataError(
                f"channel {plan.channel} is missing", case.case_id, "add the file of this channel"
            )
        frame = self._frame(case, plan.slice_axis)
        filled = filled_slices(brain, plan.slice_axis, plan.least_brain)
        if not filled.size:
            raise DataError("there is no brain", case.case_id, "check the brain mask")
        indices = filled[:: plan.predicting_step].tolist()
        slices = frame.cut(case.images[plan.channel], indices)
        pixels, branch = self._judge(slices, frame, network, words)
        # Logits, not probabilities, are interpolated on the way back.
        logits = frame.put_back(pixels, indices)
        drawn = map_odds(logits, brain, plan.slice_axis, self._telling_pixels(case))
        scores = slice_scores(branch, indices, drawn, plan.map_share)
        scores[~brain.any(axis=tuple({0, 1, 2} - {plan.slice_axis}))] = 0
        return Prediction(
            case.case_id,
            Volume(np.where(brain, expit(logits), 0).astype(np.float32), case.placement.working),
            patient_score(scores[filled], plan.patient_rule, plan.top_share, plan.slice_smoothing),
            scores,
        )

    def _telling_pixels(self, case: PreparedCase) -> int:
        """Return how many pixels the smallest lesion has that makes a slice abnormal."""
        area = pixel_mm2(case.placement.working.spacing_mm, self._plan.slice_axis)
        return max(round(self._plan.smallest_area_mm2 / area), 1)

    def _judge(
        self, slices: Tensor, frame: SliceFrame, network: MedSADNetwork, words: Words
    ) -> tuple[Tensor, NDArray[np.float32]]:
        """Return log-odds: of a lesion (n, rows, columns), and of an abnormal slice (n,)."""
        patch = self._towers.image.patch_size
        grid = (frame.height // patch, frame.width // patch)
        maps, odds = [], []
        for batch in slices.split(_AT_ONCE):
            output = network(self._trunk.enter(batch), self._trunk.advance, grid, words)
            maps.append((output.pixel_logits[:, 1] - output.pixel_logits[:, 0]).cpu())
            odds.append((output.class_logits[:, 1] - output.class_logits[:, 0]).cpu())
        # Half of the slices were abnormal while learning; here it is the share of the cohort.
        return torch.cat(maps), (torch.cat(odds) + self._prior_logit).numpy()

    def state_dict(self) -> dict[str, Any]:
        """Return what was learnt as arrays, empty before `fit`."""
        if self._network is None:
            return {}
        learnt = self._network.state_dict().items()
        arrays = {f"{_PREFIX}{name}": value.cpu().numpy() for name, value in learnt}
        return {**arrays, _PRIOR: self._prior_logit}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what was learnt.

        Raises:
            UsageError: the state belongs to other settings.
        """
        if not state:
            self._network = None
            return
        network = self._new_network()
        learnt = {
            name.removeprefix(_PREFIX): torch.from_numpy(np.array(value))
            for name, value in state.items()
            if name.startswith(_PREFIX)
        }
        try:
            network.load_state_dict(learnt)
        except RuntimeError as error:
            raise UsageError(
                f"the stored network does not fit the plan: {error}",
                "medsad_clip",
                "use the plan that the model was trained with",
            ) from error
        self._network, self._prior_logit = network, float(state[_PRIOR])


def _check(plan: MedSADCLIPPlan, towers: VisionLanguage) -> None:
    """Raise a UsageError if the settings do not fit the towers or each other."""
    image, settings = towers.image, plan.network
    widths = (settings.decoder_widths, settings.decoder_groups)
    problems = {
        "longest_side": (
            plan.longest_side % image.patch_size != 0,
            f"{plan.longest_side} is not a multiple of the patch size, {image.patch_size}",
        ),
        "taps": (
            list(plan.taps) != sorted(set(plan.taps))
            or not plan.taps
            or not 1 <= plan.taps[0] <= plan.taps[-1] <= image.depth,
            f"{list(plan.taps)} are not ascending blocks from 1 to {image.depth}",
        ),
        "network.taps": (
            settings.taps != len(plan.taps),
            f"{settings.taps} adapters for {len(plan.taps)} taps",
        ),
        "network.shared_width": (
            towers.scale is not None and settings.shared_width != towers.text.out_width,
            f"{settings.shared_width} must be the text tower's {towers.text.out_width}",
        ),
        "network.attention_heads": (
            settings.shared_width % settings.attention_heads != 0,
            f"{settings.attention_heads} heads do not divide {settings.shared_width}",
        ),
        "network.decoder_groups": (
            any(width % widths[1] for width in widths[0]),
            f"{widths[1]} groups do not divide {widths[0]}",
        ),
        "batch": (plan.batch < 2, "a batch needs a slice with a lesion and one without"),
    }
    for name, (is_wrong, found) in problems.items():
        if is_wrong:
            raise UsageError(found, f"plan, medsad_clip.{name}", "edit the plan")
