"""AnyAD: prototype-guided reconstruction of normal slices, with any set of channels."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainad.case import PreparedCase, TrainingCase
from brainad.encoders.cpu_linear import use_onednn
from brainad.encoders.encoder import load_encoder
from brainad.errors import DataError, UsageError
from brainad.method import Scope, Session
from brainad.methods.anyad.features import CaseFeatures, CaseSlices, FeatureSet, SliceEncoder
from brainad.methods.anyad.maps import (
    patient_score,
    slice_scores,
    smooth_in_brain,
    token_distance,
)
from brainad.methods.anyad.model import TrainedModel
from brainad.methods.anyad.normality import NormalDistance, UsualDistances
from brainad.methods.anyad.place import PlaceDistances
from brainad.methods.anyad.plan import AnyADPlan
from brainad.methods.anyad.subsets import Subset, all_subsets
from brainad.methods.anyad.training import train
from brainad.plan import Resources
from brainad.prediction import Prediction
from brainad.training.features import kept_size_gb
from brainad.training.sampling import spread_over
from brainad.volume import Volume

_log = logging.getLogger(__name__)
_BATCH = 16
_USUAL, _TRAINED, _PLACE = "usual.", "model.", "place."


class AnyAD:
    """The method; each case is judged alone, with whatever channels it has.

    Args:
        plan: settings.
        resources: device and weights.

    Raises:
        UsageError: the encoder's weights are not here, or it lacks a planned layer.
    """

    def __init__(self, plan: AnyADPlan, resources: Resources) -> None:
        self._plan = plan
        self._device = torch.device(resources.device)
        encoder = load_encoder(
            plan.encoder, resources.weights, self._device, published_positions=True
        )
        if len(plan.layers) < 2 or not 1 <= min(plan.layers) <= max(plan.layers) <= encoder.depth:
            raise UsageError(
                f"layers {list(plan.layers)} of encoder {plan.encoder}, which has {encoder.depth}",
                "plan, anyad.layers",
                f"choose two or more layers from 1 to {encoder.depth}",
            )
        self._width = encoder.width
        self._slices = SliceEncoder(encoder, plan)
        self._channels = plan.channels
        self._model: TrainedModel | None = None
        self._usual: UsualDistances | None = None
        self._place: PlaceDistances | None = None

    @property
    def scope(self) -> Scope:
        """Each case alone."""
        return Scope.CASE

    @property
    def channels(self) -> tuple[str, ...]:
        """Planned channels before training, trained ones after it."""
        return self._channels

    def fit(self, cases: Sequence[TrainingCase], session: Session) -> None:
        """Learn what normal slices look like.

        Raises:
            UsageError: fewer normal slices than planned, or channels that cannot be shown.
        """
        chosen = self._training_slices(cases)
        present = {channel for slices in chosen for channel in slices.channels}
        self._channels = tuple(channel for channel in self._plan.channels if channel in present)
        features = []
        for number, slices in enumerate(chosen, start=1):
            features.append(self._slices.keep(slices, session))
            _log.info("features of case %d/%d", number, len(chosen))
        data = FeatureSet(features, self._slices.layout)
        self._model = train(data, self._channels, self._width, self._plan, self._device, session)
        use_onednn(self._model)
        grid_slices = self._grid_slices(cases)
        self._usual = self._measure_usual(data, grid_slices)
        if self._plan.place_distance:
            self._place = PlaceDistances.measure(
                features, self._slices.layout, grid_slices, self._plan.expected_by
            )

    def _training_slices(self, cases: Sequence[TrainingCase]) -> list[CaseSlices]:
        """Choose normal slices within the planned size of the features.

        Raises:
            UsageError: there are too few.
        """
        chosen = [
            self._slices.slices(training.case, self._plan.channels, training.usable)
            for training in cases
        ]
        chosen = [slices for slices in chosen if slices.channels and slices.positions.size]
        total = sum(slices.positions.size for slices in chosen)
        if total < self._plan.minimum_slices:
            raise UsageError(
                f"{total} normal slices of {len(cases)} cases, at least "
                f"{self._plan.minimum_slices} are needed",
                "anyad",
                "add healthy cases, or labels per slice; or lower minimum_slices or slice_step "
                "in the plan",
            )
        size = sum(self._size_gb(slices) for slices in chosen)
        share = min(self._plan.feature_gb / size, 1.0)
        _log.info(
            "%d normal slices of %d cases; %.2f GB of features are kept", total, len(chosen),
            share * size,
        )  # fmt: skip
        if share == 1:
            return chosen
        _log.warning(
            "%.1f GB of features exceed the planned %g GB: %.0f%% of the slices are used",
            size, self._plan.feature_gb, 100 * share,
        )  # fmt: skip
        return [_thinned(slices, share) for slices in chosen]

    def _size_gb(self, slices: CaseSlices) -> float:
        frame = self._slices.frame(slices.case)
        tokens = frame.height * frame.width // 14**2
        sources = len(self._slices.layout.sources(slices.channels))
        return kept_size_gb(slices.positions.size, (sources, 2, tokens, self._width))

    def _grid_slices(self, cases: Sequence[TrainingCase]) -> int:
        return int(np.asarray(cases[0].case.brain).shape[self._plan.slice_axis])

    def _measure_usual(self, data: FeatureSet, grid_slices: int) -> UsualDistances:
        """Measure how far normal slices lie from their reconstruction, per set of channels."""
        usual = {}
        for subset in all_subsets(self._channels):
            able = [case for case in data.cases if set(subset) <= set(case.channels)]
            if not able:
                continue
            distances = NormalDistance(grid_slices, able[0].inside.shape[1])
            for case in able:
                found = self._distances(*data.of_case(case, subset), case.inside, subset)
                distances.add(case.positions, found, case.inside)
            usual[subset] = distances.upper_end(self._plan.expected_by)
        return UsualDistances(usual)

    @torch.inference_mode()
    def _distances(
        self, shallow: Tensor, deep: Tensor, inside: NDArray[np.bool_], subset: Subset
    ) -> NDArray[np.float32]:
        """Return (n, N) distances of tokens from their reconstruction.

        A network that was trained on brain tokens sees those of one slice at a time; tokens that
        it does not see have distance 0.
        """
        found = torch.zeros(shallow.shape[:2])
        if not self._plan.tokens_per_slice:
            for start in range(0, shallow.shape[0], _BATCH):
                part = slice(start, start + _BATCH)
                found[part] = self._distance(shallow[part], deep[part], subset)
            return found.numpy()
        for row, shown in enumerate(torch.from_numpy(inside)):
            tokens = shallow[row : row + 1, shown], deep[row : row + 1, shown]
            found[row, shown] = self._distance(*tokens, subset)[0]
        return found.numpy()

    def _distance(self, shallow: Tensor, deep: Tensor, subset: Subset) -> Tensor:
        """Return (B, N) distances of a batch, on the CPU."""
        assert self._model is not None, "it was trained"
        groups = shallow.to(self._device), self._model.aligned(deep.to(self._device), subset)
        return token_distance(*groups, self._model.network(*groups)).float().cpu()

    def predict(self, cases: Sequence[PreparedCase]) -> Iterator[Prediction]:
        """Encode and judge each case alone.

        Raises:
            UsageError: the method was not trained.
            DataError: a case has none of the trained channels, or no slice with brain.
        """
        for case in cases:
            yield self.judge(case, self.encode(case))

    def encode(self, case: PreparedCase) -> CaseFeatures:
        """Encode the slices of a case, every source that its set of channels needs.

        Raises:
            DataError: a case has none of the trained channels, or no slice with brain.
        """
        slices = self._slices.slices(case, self._channels)
        if not slices.channels:
            raise DataError(
                f"no trained channel is there; found {', '.join(case.images) or 'none'}, trained "
                f"are {', '.join(self._channels)}",
                f"case {case.case_id}",
                f"add at least one of {', '.join(self._channels)}",
            )
        if not slices.positions.size:
            raise DataError(
                "no slice of the planned raster holds brain",
                f"case {case.case_id}",
                "check the brain mask",
            )
        return self._slices.encode(slices, self._slices.layout.members(slices.channels))

    def keep(self, case: PreparedCase, session: Session) -> CaseFeatures:
        """Encode every source of a case once and keep the features, for any set of channels."""
        return self._slices.keep(self._slices.slices(case, self._channels), session)

    def judge(
        self, case: PreparedCase, features: CaseFeatures, subset: Subset | None = None
    ) -> Prediction:
        """Turn features of a case into a prediction.

        Args:
            case: the case.
            features: that `encode` or the training made.
            subset: channels to look at; None for all that are there.

        Raises:
            UsageError: the method was not trained.
        """
        if self._usual is None:
            raise UsageError(
                "anyad was not trained",
                "anyad",
                "train it with brainad_train DATASET anyad all, or use -c codegraph3d",
            )
        subset = subset or features.channels
        groups = FeatureSet([features], self._slices.layout).of_case(features, subset)
        distances = self._distances(*groups, features.inside, subset)
        evidence = self._usual.evidence(distances, features.positions, subset)
        if self._place is not None:
            evidence *= self._place.evidence(features, subset)
        frame = self._slices.frame(case)
        patch = int(np.sqrt(frame.height * frame.width / evidence.shape[1]))
        planes = evidence.reshape(-1, frame.height // patch, frame.width // patch)
        volume = frame.put_back(torch.from_numpy(planes), features.positions.tolist())
        brain = np.asarray(case.brain)
        smooth = smooth_in_brain(volume, brain, self._sigmas(case))
        scores = slice_scores(smooth, brain, self._plan.slice_axis, self._plan.top_share)
        return Prediction(
            case.case_id,
            Volume(smooth, case.placement.working),
            patient_score(scores, self._plan.patient_rule),
            scores,
        )

    def _sigmas(self, case: PreparedCase) -> tuple[float, float, float]:
        """Return the planned smoothing in voxels along x, y, z."""
        within, along = self._plan.smoothing_mm
        millimetres = [along if axis == self._plan.slice_axis else within for axis in range(3)]
        spacing = case.placement.working.spacing_mm
        x, y, z = (mm / edge for mm, edge in zip(millimetres, spacing, strict=True))
        return x, y, z

    def state_dict(self) -> dict[str, Any]:
        """Return weights and statistics as arrays, and the trained channels; empty if untrained."""
        if self._model is None or self._usual is None:
            return {}
        place = {} if self._place is None else self._place.state_dict()
        return {
            "channels": list(self._channels),
            **{_TRAINED + name: array for name, array in self._model.arrays().items()},
            **{_USUAL + name: array for name, array in self._usual.state_dict().items()},
            **{_PLACE + name: array for name, array in place.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        if not state:
            self._model, self._usual, self._place = None, None, None
            self._channels = self._plan.channels
            return
        self._channels = tuple(state["channels"])
        self._model = TrainedModel.from_arrays(
            _below(state, _TRAINED), self._channels, self._width, self._plan
        ).to(self._device)
        use_onednn(self._model)
        self._usual = UsualDistances.from_state(_below(state, _USUAL))
        place = _below(state, _PLACE)
        self._place = PlaceDistances.from_state(place, self._slices.layout) if place else None


def _below(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _thinned(slices: CaseSlices, share: float) -> CaseSlices:
    kept = spread_over(slices.positions.size, max(int(share * slices.positions.size), 1))
    return CaseSlices(slices.case, slices.channels, slices.positions[kept])
