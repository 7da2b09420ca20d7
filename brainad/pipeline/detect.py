"""From prepared cases to predictions: encode each case, score each alone or all together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from brainad.arrays import ArrayFolder, StoredArrays
from brainad.case import PreparedCase
from brainad.evaluation.calibration import CaseStatistics, case_statistics
from brainad.files import compose_key, explain_change, value_hash
from brainad.method import EncodingMethod, Scope, Spread
from brainad.pipeline.cases import Outcome, attempt, log_repeats, run_cases
from brainad.pipeline.executors import Executor
from brainad.pipeline.model import Model
from brainad.pipeline.pieces import KeptSpread
from brainad.prediction import Prediction
from brainad.prepared import PreparedFolder
from brainad.volume import Volume


class PredictionFolder:
    """Predictions on the working grid, kept until they are delivered; float16 on disk."""

    def __init__(self, arrays: ArrayFolder, prepared: PreparedFolder) -> None:
        self._arrays = arrays
        self._prepared = prepared

    def key(self, case_id: str) -> str | None:
        """Return what the prediction that is here was made for, or None without one."""
        return self._arrays.key(case_id)

    def write(self, prediction: Prediction, key: str, statistics: CaseStatistics) -> None:
        """Store a prediction and the two numbers that calibration needs."""
        arrays = {
            "map": prediction.anomaly_map.data.astype(np.float16),
            "score": np.array(prediction.score),
            "map_quantile": np.array(statistics.map_quantile),
        }
        if prediction.slice_scores is not None:
            arrays["slice_scores"] = prediction.slice_scores
        self._arrays.write(prediction.case_id, key, arrays)

    def read(self, case_id: str) -> Prediction:
        """Load a prediction."""
        arrays = self._arrays.read(case_id)
        grid = self._prepared.read(case_id).placement.working
        return Prediction(
            case_id,
            Volume(arrays["map"].astype(np.float32), grid),
            float(arrays["score"]),
            arrays.get("slice_scores"),
        )

    def statistics(self, case_id: str) -> CaseStatistics:
        """Load the two numbers that calibration needs."""
        arrays = self._arrays.read(case_id)
        return CaseStatistics(float(arrays["score"]), float(arrays["map_quantile"]))


class Detector:
    """Runs one model over prepared cases, keeping encodings and predictions on disk.

    Args:
        model: plan and method.
        prepared: where the prepared cases are.
        encodings: where encodings are kept.
        predictions: where predictions are kept.
        executor: where the work is done.
        scratch: folder for the pieces of an unfinished cohort.
    """

    def __init__(
        self,
        model: Model,
        prepared: PreparedFolder,
        encodings: ArrayFolder,
        predictions: PredictionFolder,
        executor: Executor,
        scratch: Path,
    ) -> None:
        self._model = model
        self.prepared = prepared
        self.encodings = encodings
        self.predictions = predictions
        self._executor = executor.for_threaded_work()
        self._scratch = scratch

    def encoding_key(self, case_id: str) -> str | None:
        """Identify the encoding of a prepared case; None if the case is not prepared."""
        record = self.prepared.record(case_id)
        if record is None:
            return None
        method = self._model.method
        settings = method.encoding_key if isinstance(method, EncodingMethod) else "none"
        return compose_key(preparation=value_hash(record.key), settings=settings)

    def is_encoded(self, case_id: str) -> bool:
        """Tell whether a case is prepared and its encoding, if the method has any, is here."""
        key = self.encoding_key(case_id)
        if key is None or not isinstance(self._model.method, EncodingMethod):
            return key is not None
        return self.encodings.holds(case_id, key)

    def encode(self, case_ids: Sequence[str]) -> Iterator[Outcome]:
        """Encode the cases that are not encoded yet; one outcome per case."""
        keys = {case_id: str(self.encoding_key(case_id)) for case_id in case_ids}
        todo = [case_id for case_id in case_ids if not self.is_encoded(case_id)]
        log_repeats(
            "encoded", {name: _change(self.encodings.key(name), keys[name]) for name in todo}
        )
        yield from _kept(case_ids, todo)
        work = partial(_encode, self._model, self.prepared, self.encodings)
        cases = [(case_id, (case_id, keys[case_id])) for case_id in todo]
        yield from run_cases("encode", cases, work, self._executor)

    def prediction_keys(self, case_ids: Sequence[str]) -> dict[str, str]:
        """Identify each case's prediction; in a cohort it depends on all cases' encodings."""
        own = {case_id: str(self.encoding_key(case_id)) for case_id in case_ids}
        model = self._model.model_id
        if self._model.method.scope is Scope.COHORT:
            cohort = compose_key(model=model, cohort=value_hash(sorted(own.items())))
            return dict.fromkeys(case_ids, cohort)
        return {name: compose_key(model=model, case=value_hash(key)) for name, key in own.items()}

    def score(self, case_ids: Sequence[str]) -> Iterator[Outcome]:
        """Score encoded cases: each alone, or all together; one outcome per case."""
        keys = self.prediction_keys(case_ids)
        known = {case_id: self.predictions.key(case_id) for case_id in case_ids}
        todo = [case_id for case_id in case_ids if known[case_id] != keys[case_id]]
        log_repeats("scored", {name: _change(known[name], keys[name]) for name in todo})
        if self._model.method.scope is Scope.COHORT and todo:
            yield from self._score_together(case_ids, keys)
            return
        yield from _kept(case_ids, todo)
        work = partial(_score, self._model, self.prepared, self.encodings, self.predictions)
        cases = [(case_id, (case_id, keys[case_id])) for case_id in todo]
        yield from run_cases("score", cases, work, self._executor)

    def remember(self, case_ids: Sequence[str]) -> None:
        """Have a method that encodes keep the encodings of reference cases.

        Raises:
            UsageError: there are too few.
        """
        method = self._model.method
        assert isinstance(method, EncodingMethod), "only such methods have encodings"
        spread = self._spread("remember", self.prediction_keys(case_ids))
        method.remember(StoredArrays(self.encodings, case_ids), spread)
        spread.clear()

    def _score_together(self, case_ids: Sequence[str], keys: dict[str, str]) -> Iterator[Outcome]:
        # Cases stand in a fixed order so that the result does not depend on how they were found.
        names = sorted(case_ids)
        spread = self._spread("score", keys)
        cases = [self.prepared.read(case_id) for case_id in names]
        for prediction in _predict(self._model, cases, self.encodings, spread):
            keep = partial(_keep, prediction, keys[prediction.case_id], cases, self.predictions)
            yield attempt("score", prediction.case_id, keep)
        spread.clear()

    def _spread(self, purpose: str, keys: dict[str, str]) -> KeptSpread:
        return KeptSpread(self._executor, self._scratch / purpose, value_hash(sorted(keys.items())))


def _kept(case_ids: Sequence[str], todo: Sequence[str]) -> Iterator[Outcome]:
    missing = set(todo)
    return (Outcome(case_id) for case_id in case_ids if case_id not in missing)


def _change(old: str | None, new: str) -> str | None:
    return explain_change(old, new) if old else None


def _encode(
    model: Model, prepared: PreparedFolder, encodings: ArrayFolder, item: tuple[str, str]
) -> None:
    case_id, key = item
    if isinstance(model.method, EncodingMethod):
        encodings.write(case_id, key, model.method.encode(prepared.read(case_id)))


def _score(
    model: Model,
    prepared: PreparedFolder,
    encodings: ArrayFolder,
    predictions: PredictionFolder,
    item: tuple[str, str],
) -> None:
    case_id, key = item
    cases = [prepared.read(case_id)]
    for prediction in _predict(model, cases, encodings, map):
        _keep(prediction, key, cases, predictions)


def _predict(
    model: Model, cases: Sequence[PreparedCase], encodings: ArrayFolder, spread: Spread
) -> Iterator[Prediction]:
    if isinstance(model.method, EncodingMethod):
        names = [case.case_id for case in cases]
        return model.method.score(cases, StoredArrays(encodings, names), spread)
    return model.method.predict(cases)


def _keep(
    prediction: Prediction, key: str, cases: Sequence[PreparedCase], predictions: PredictionFolder
) -> None:
    brain = next(case.brain for case in cases if case.case_id == prediction.case_id)
    statistics = case_statistics(prediction.anomaly_map.data, brain, prediction.score)
    predictions.write(prediction, key, statistics)
