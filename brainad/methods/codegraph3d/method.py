"""CoDeGraph3D: tokens of a frozen encoder, scored against the other cases of a cohort or a bank."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from brainad.case import PreparedCase, TrainingCase
from brainad.encoders.encoder import Encoder, load_encoder
from brainad.errors import DataError, UsageError
from brainad.files import value_hash
from brainad.method import Encoding, Scope
from brainad.methods.codegraph3d.cohort import CohortTokens, split_cohort, stack_cases
from brainad.methods.codegraph3d.maps import anomaly_map, score_grid
from brainad.methods.codegraph3d.patient_score import patient_score
from brainad.methods.codegraph3d.plan import MINIMUM_COHORT, PATCH, CoDeGraph3DPlan
from brainad.methods.codegraph3d.scoring import ScoreSettings, score_against_bank, score_cohort
from brainad.methods.codegraph3d.tokens import CaseTokens, Tokeniser
from brainad.plan import Resources
from brainad.prediction import Prediction
from brainad.volume import Volume

_CELLS = "cells"


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
                f"the working grid is made of cells of {PATCH}",
                "plan, codegraph3d.encoder",
                "choose a DINOv2 encoder",
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
        return value_hash([self._encoder.name, self._plan.final_norm, self._plan.channel, settings])

    def encode(self, case: PreparedCase) -> Encoding:
        """Turn a case into tokens.

        Returns:
            ``cells`` (nx, ny, nz) bool, and per layer ``layer_i`` (N, views * k) float16.

        Raises:
            DataError: the planned channel is missing, or no cell holds brain.
        """
        if self._plan.channel not in case.images:
            raise DataError(
                f"channel {self._plan.channel} is missing; found {', '.join(case.images)}",
                f"case {case.case_id}",
                "add it, or choose another channel in the plan",
            )
        tokens = self._tokeniser.tokenise(case.images[self._plan.channel], np.asarray(case.brain))
        arrays: dict[str, NDArray[Any]] = {_CELLS: tokens.cells}
        for number, layer in zip(self._plan.layers, tokens.layers, strict=True):
            arrays[f"layer_{number}"] = layer.numpy().astype(np.float16)
        return arrays

    def fit(self, cases: Sequence[TrainingCase]) -> None:
        """Keep the tokens of reference cases as the bank."""
        self.remember([self.encode(training.case) for training in cases])

    def predict(self, cases: Sequence[PreparedCase]) -> Iterator[Prediction]:
        """Encode and score."""
        return self.score(cases, [self.encode(case) for case in cases])

    def remember(self, encodings: Sequence[Encoding]) -> None:
        """Keep encodings as the bank, without the tokens of anomalies they share.

        Raises:
            UsageError: fewer than the smallest cohort.
        """
        self._require(len(encodings))
        cases = [self._case_tokens(encoding) for encoding in encodings]
        bank = []
        for layer in range(len(self._plan.layers)):
            cohort = stack_cases(cases, layer, self._device)
            scored = score_cohort(cohort, self._score_settings(), self._plan.seed)
            bank.append(cohort.select(~scored.filtered))
        self._bank = tuple(bank)

    def score(
        self, cases: Sequence[PreparedCase], encodings: Sequence[Encoding]
    ) -> Iterator[Prediction]:
        """Score against the bank, or against each other in random chunks.

        Raises:
            UsageError: no bank, and fewer cases than the smallest cohort.
        """
        if self._bank:
            for case, encoding in zip(cases, encodings, strict=True):
                tokens = self._case_tokens(encoding)
                yield self._prediction(case, tokens, self._against_bank(tokens))
            return
        self._require(len(cases))
        # Chunks are scored one after the other; predictions keep the order of the cases, so
        # only token scores (small) of all chunks are held.
        scores: dict[int, NDArray[np.float64]] = {}
        cells: dict[int, NDArray[np.bool_]] = {}
        chunks = math.ceil(len(cases) / self._plan.chunk_size)
        for members in split_cohort(len(cases), chunks, self._plan.seed):
            chunk = [self._case_tokens(encodings[int(member)]) for member in members]
            found = self._against_each_other(chunk)
            for member, tokens, values in zip(members.tolist(), chunk, found, strict=True):
                scores[member], cells[member] = values, tokens.cells
        for index, case in enumerate(cases):
            yield self._prediction(case, CaseTokens((), cells[index]), scores[index])

    def _require(self, cases: int) -> None:
        if cases < MINIMUM_COHORT:
            raise UsageError(
                f"{cases} cases are too few to compare with each other",
                "codegraph3d",
                f"give at least {MINIMUM_COHORT} (30 or more is best), or use a bank",
            )

    def _score_settings(self) -> ScoreSettings:
        plan = self._plan
        return ScoreSettings(
            interval=plan.nearest_share,
            radius=plan.radius if plan.matching == "local" else None,
            graph=plan.graph,
        )

    def _case_tokens(self, encoding: Encoding) -> CaseTokens:
        layers = (encoding[f"layer_{number}"] for number in self._plan.layers)
        return CaseTokens(
            tuple(torch.from_numpy(layer.astype(np.float32)) for layer in layers),
            encoding[_CELLS],
        )

    def _against_each_other(self, cases: Sequence[CaseTokens]) -> list[NDArray[np.float64]]:
        """Return each case's token scores, averaged over the layers."""
        total: NDArray[np.float64] | None = None
        for layer in range(len(self._plan.layers)):
            cohort = stack_cases(cases, layer, self._device)
            scores = score_cohort(cohort, self._score_settings(), self._plan.seed).scores
            total = scores if total is None else total + scores
        assert total is not None, "a plan reads at least one layer"
        ends = np.cumsum([int(case.cells.sum()) for case in cases])[:-1]
        return np.split(total / len(self._plan.layers), ends)

    def _against_bank(self, tokens: CaseTokens) -> NDArray[np.float64]:
        scores = [
            score_against_bank(
                stack_cases([tokens], layer, self._device), bank, self._score_settings()
            )
            for layer, bank in enumerate(self._bank)
        ]
        mean: NDArray[np.float64] = np.mean(scores, axis=0)
        return mean

    def _prediction(
        self, case: PreparedCase, tokens: CaseTokens, scores: NDArray[np.float64]
    ) -> Prediction:
        grid = score_grid(scores, tokens.cells)
        data = anomaly_map(grid, tokens.cells, np.asarray(case.brain), self._plan.aligned_corners)
        return Prediction(
            case.case_id,
            Volume(data, case.placement.working),
            patient_score(scores, self._plan.patient_rule),
        )

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
        """Restore a bank."""
        if not state:
            self._bank = ()
            return
        nx, ny, nz = state["grid"]
        self._bank = tuple(
            CohortTokens(
                torch.from_numpy(state[f"tokens_{number}"].astype(np.float32)).to(self._device),
                state[f"offsets_{number}"],
                state[f"cell_index_{number}"],
                (nx, ny, nz),
            )
            for number in self._plan.layers
        )
