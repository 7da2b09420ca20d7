"""CoDeGraph3D: tokens of a frozen encoder, scored against the other cases of a cohort or a bank."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from brainad.case import PreparedCase, TrainingCase
from brainad.encoders.encoder import Encoder, load_encoder
from brainad.errors import DataError, UsageError
from brainad.files import value_hash
from brainad.method import Encoding, Scope, Session, Spread
from brainad.methods.codegraph3d.cohort import (
    BlockedCohort,
    CohortTokens,
    split_cohort,
    stack_cases,
)
from brainad.methods.codegraph3d.maps import anomaly_map, score_grid
from brainad.methods.codegraph3d.patient_score import patient_score, smooth_scores
from brainad.methods.codegraph3d.plan import MINIMUM_COHORT, PATCH, CoDeGraph3DPlan
from brainad.methods.codegraph3d.scoring import (
    CohortScores,
    score_against_bank,
    score_blocks,
)
from brainad.methods.codegraph3d.tokens import CaseTokens, Tokeniser
from brainad.plan import Resources
from brainad.prediction import Prediction
from brainad.volume import Volume

_log = logging.getLogger(__name__)

_CELLS = "cells"


@dataclass(frozen=True, eq=False)
class _Scored:
    """What scoring says about one case: cells (nx, ny, nz) bool, token scores (N,), one number."""

    cells: NDArray[np.bool_]
    tokens: NDArray[np.float64]
    patient: float


@dataclass(frozen=True, eq=False)
class _EncodedBlock:
    """Some encoded cases at one layer; only the arrays of that layer are read."""

    encodings: Sequence[Encoding]
    layer: int
    device: str

    def load(self) -> CohortTokens:
        """Return the tokens."""
        cases = [case_tokens(encoding, (self.layer,)) for encoding in self.encodings]
        return stack_cases(cases, 0, self.device)


class CoDeGraph3D:
    """The method; with a bank it scores each case alone, without one a cohort together.

    Args:
        plan: settings.
        resources: device and weights.

    Raises:
        UsageError: the encoder's weights are not here.
    """

    def __init__(self, plan: CoDeGraph3DPlan, resources: Resources) -> None:
        self._plan = plan
        self._device = torch.device(resources.device)
        self._encoder: Encoder = load_encoder(plan.encoder, resources.weights, self._device)
        if self._encoder.patch_size != PATCH:
            raise UsageError(
                f"encoder {plan.encoder} has patches of {self._encoder.patch_size} pixels; "
                f"cells are shown as patches of {PATCH}",
                "plan, codegraph3d.encoder",
                "choose a DINOv2 encoder",
            )
        if not plan.layers or not 1 <= min(plan.layers) <= max(plan.layers) <= self._encoder.depth:
            raise UsageError(
                f"layers {list(plan.layers)} of encoder {plan.encoder}, which has "
                f"{self._encoder.depth}",
                "plan, codegraph3d.layers",
                f"choose layers from 1 to {self._encoder.depth}",
            )
        self._tokeniser = Tokeniser(self._encode_slices, plan.token_settings)
        self._bank: tuple[CohortTokens, ...] = ()

    def _encode_slices(self, slices: torch.Tensor) -> list[torch.Tensor]:
        if self._plan.cell != PATCH:
            # The encoder sees patches of 14 pixels: slices are zoomed until a cell fills one.
            zoom = PATCH / self._plan.cell
            slices = F.interpolate(slices[:, None], scale_factor=zoom, mode="bilinear")[:, 0]
        return self._encoder.encode(slices, self._plan.layers, self._plan.final_norm)

    @property
    def scope(self) -> Scope:
        """CASE with a bank, COHORT without."""
        return Scope.CASE if self._bank else Scope.COHORT

    @property
    def channels(self) -> tuple[str, ...]:
        """The one channel that is compared."""
        return (self._plan.channel,)

    @property
    def encoding_key(self) -> str:
        """Identify the encoder and everything that turns a volume into tokens."""
        settings = asdict(self._plan.token_settings)
        return value_hash(
            [self._encoder.identity, self._plan.final_norm, self._plan.channel, settings]
        )

    def encode(self, case: PreparedCase) -> Encoding:
        """Turn a case into tokens.

        Returns:
            ``cells`` (nx, ny, nz) bool, and per layer ``layer_i`` (N, views * k) float16.

        Raises:
            DataError: the planned channel is missing, or no cell holds brain.
            UsageError: the working grid is not made of whole cells.
        """
        if self._plan.channel not in case.images:
            raise DataError(
                f"channel {self._plan.channel} is missing; found {', '.join(case.images)}",
                f"case {case.case_id}",
                "add it, or choose another channel in the plan",
            )
        if any(size % self._plan.cell for size in case.brain.shape):
            raise UsageError(
                f"the working grid {case.brain.shape} is not made of whole cells of "
                f"{self._plan.cell} voxels",
                "plan, preprocessing.working_shape and codegraph3d.cell",
                "choose a working_shape of multiples of the cell",
            )
        tokens = self._tokeniser.tokenise(case.images[self._plan.channel], np.asarray(case.brain))
        arrays: dict[str, NDArray[Any]] = {_CELLS: tokens.cells}
        for number, layer in zip(self._plan.layers, tokens.layers, strict=True):
            arrays[_layer_name(number)] = layer.numpy().astype(np.float16)
        return arrays

    def fit(self, cases: Sequence[TrainingCase], session: Session) -> None:  # noqa: ARG002
        """Keep the tokens of reference cases as the bank; there is nothing to train."""
        self.remember([self.encode(training.case) for training in cases])

    def predict(self, cases: Sequence[PreparedCase]) -> Iterator[Prediction]:
        """Encode and score."""
        return self.score(cases, [self.encode(case) for case in cases])

    def remember(self, encodings: Sequence[Encoding], spread: Spread = map) -> None:
        """Keep encodings as the bank, without the tokens of anomalies they share.

        Raises:
            UsageError: fewer than the smallest cohort.
        """
        self._require(len(encodings))
        bank = []
        for layer in self._plan.layers:
            cohort = self._blocked(encodings, layer)
            scored = score_blocks(cohort, self._plan.score_settings, self._plan.seed, spread)
            tokens = _EncodedBlock(encodings, layer, str(self._device)).load()
            bank.append(tokens.select(~scored.filtered))
        self._bank = tuple(bank)

    def score(
        self, cases: Sequence[PreparedCase], encodings: Sequence[Encoding], spread: Spread = map
    ) -> Iterator[Prediction]:
        """Score against the bank, or against each other in random chunks.

        `spread` compares the cases of a cohort block by block; with a bank there is nothing to
        spread.

        Raises:
            UsageError: no bank, and fewer cases than the smallest cohort.
        """
        if self._bank:
            for case, encoding in zip(cases, encodings, strict=True):
                tokens = case_tokens(encoding, self._plan.layers)
                yield self._prediction(case, self._against_bank(tokens))
            return
        self._require(len(cases))
        # Chunks are scored one after the other, predictions keep the order of the cases: only
        # the token scores, which are small, are held for all of them.
        scored: dict[int, _Scored] = {}
        chunks = math.ceil(len(cases) / self._plan.chunk_size)
        for members in split_cohort(len(cases), chunks, self._plan.seed):
            chunk = [encodings[int(member)] for member in members]
            found = self._against_each_other(chunk, spread)
            scored.update(zip(members.tolist(), found, strict=True))
        for index, case in enumerate(cases):
            yield self._prediction(case, scored[index])

    def _require(self, cases: int) -> None:
        if cases < MINIMUM_COHORT:
            raise UsageError(
                f"{cases} cases are too few to compare with each other",
                "codegraph3d",
                f"give at least {MINIMUM_COHORT} (30 or more is best), or use a bank",
            )

    def _blocked(self, encodings: Sequence[Encoding], layer: int) -> BlockedCohort:
        """Cut a cohort into the planned blocks; tokens are not read yet."""
        tokens = [int(encoding[_CELLS].sum()) for encoding in encodings]
        size, volumes = self._plan.block_size, len(encodings)
        starts = range(0, volumes, size)
        blocks = [
            _EncodedBlock(encodings[start : start + size], layer, str(self._device))
            for start in starts
        ]
        offsets = np.concatenate([[0], np.cumsum(tokens)]).astype(np.int64)
        return BlockedCohort(blocks, offsets, np.array([*starts, volumes]))

    def _against_each_other(self, encodings: Sequence[Encoding], spread: Spread) -> list[_Scored]:
        """Score the cases of one chunk; token scores are averaged over the layers."""
        total: NDArray[np.float64] | None = None
        for layer in self._plan.layers:
            cohort = self._blocked(encodings, layer)
            scored = score_blocks(cohort, self._plan.score_settings, self._plan.seed, spread)
            _log_groups(layer, scored)
            total = scored.scores if total is None else total + scored.scores
        assert total is not None, "a plan reads at least one layer"
        cells = [np.asarray(encoding[_CELLS]) for encoding in encodings]
        ends = np.cumsum([int(each.sum()) for each in cells])[:-1]
        tokens = np.split(total / len(self._plan.layers), ends)
        patients = [patient_score(each, self._plan.patient_rule) for each in tokens]
        if self._plan.case_smoothing:
            patients = self._smoothed(patients, encodings)
        return [
            _Scored(own, each, patient)
            for own, each, patient in zip(cells, tokens, patients, strict=True)
        ]

    def _smoothed(self, patients: Sequence[float], encodings: Sequence[Encoding]) -> list[float]:
        """Average over cases whose mean tokens of the last layer point in similar directions."""
        last = self._plan.layers[-1:]
        means = torch.stack([case_tokens(each, last).layers[0].mean(0) for each in encodings])
        descriptors = torch.nn.functional.normalize(means - means.mean(0)).numpy()
        smoothed = smooth_scores(np.array(patients), descriptors, self._plan.case_smoothing)
        return [float(score) for score in smoothed]

    def _against_bank(self, tokens: CaseTokens) -> _Scored:
        layers = [
            score_against_bank(
                stack_cases([tokens], layer, self._device), bank, self._plan.score_settings
            )
            for layer, bank in enumerate(self._bank)
        ]
        scores = np.mean(layers, axis=0)
        return _Scored(tokens.cells, scores, patient_score(scores, self._plan.patient_rule))

    def _prediction(self, case: PreparedCase, scored: _Scored) -> Prediction:
        grid = score_grid(scored.tokens, scored.cells)
        brain = np.asarray(case.brain)
        data = anomaly_map(grid, scored.cells, brain, self._plan.aligned_corners)
        return Prediction(case.case_id, Volume(data, case.placement.working), scored.patient)

    def state_dict(self) -> dict[str, Any]:
        """Return the bank as arrays, empty without one."""
        state: dict[str, Any] = {}
        for number, bank in zip(self._plan.layers, self._bank, strict=False):
            state[f"tokens_{number}"] = bank.tokens.cpu().numpy().astype(np.float16)
            state[f"offsets_{number}"] = bank.offsets
            state[f"cell_index_{number}"] = bank.cell_index
            state["grid"] = list(bank.grid)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a bank.

        Raises:
            UsageError: the state is not that of a bank with the planned layers.
        """
        if not state:
            self._bank = ()
            return
        try:
            self._bank = tuple(self._stored_layer(state, number) for number in self._plan.layers)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UsageError(
                f"the state is not a bank of layers {list(self._plan.layers)}: {error}",
                "codegraph3d",
                "copy the bank again, or build it again with brainad_build_bank",
            ) from error

    def _stored_layer(self, state: Mapping[str, Any], number: int) -> CohortTokens:
        nx, ny, nz = (int(size) for size in state["grid"])
        tokens = torch.from_numpy(state[f"tokens_{number}"].astype(np.float32))
        offsets = state[f"offsets_{number}"].astype(np.int64)
        cells = state[f"cell_index_{number}"].astype(np.int64)
        fits = (
            tokens.ndim == 2
            and cells.shape == (len(tokens),)
            and offsets.ndim == 1
            and len(offsets) > 1
            and offsets[0] == 0
            and offsets[-1] == len(tokens)
            and bool((np.diff(offsets) >= 0).all())
            and bool(((cells >= 0) & (cells < nx * ny * nz)).all())
        )
        if not fits:
            raise ValueError("the arrays do not fit together")
        return CohortTokens(tokens.to(self._device), offsets, cells, (nx, ny, nz))


def _layer_name(number: int) -> str:
    return f"layer_{number}"


def case_tokens(encoding: Encoding, layers: Sequence[int]) -> CaseTokens:
    """Take some layers out of what `CoDeGraph3D.encode` returned."""
    arrays = (encoding[_layer_name(number)] for number in layers)
    return CaseTokens(
        tuple(torch.from_numpy(layer.astype(np.float32)) for layer in arrays), encoding[_CELLS]
    )


def _log_groups(layer: int, scored: CohortScores) -> None:
    """Tell about groups of cases that resemble each other more than the rest of the cohort."""
    domains = sum(each.domain for each in scored.filters)
    if domains:
        _log.warning(
            "layer %d: %d group(s) of cases share most of their tissue, as scans of another site "
            "or scanner do; compare like with like if you can",
            layer,
            domains,
        )
    if scored.filtered.any():
        _log.info(
            "layer %d: %d tokens of anomalies that several cases share no longer serve as "
            "references",
            layer,
            int(scored.filtered.sum()),
        )
