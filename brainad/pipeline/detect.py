"""From prepared cases to predictions: encode each case, score each alone or all together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from brainad.arrays import ArrayFolder, StoredArrays
from brainad.case import PreparedCase
from brainad.evaluation.calibration import CaseStatistics, case_statistics
from brainad.files import value_hash
from brainad.method import EncodingMethod, Scope
from brainad.pipeline.cases import Outcome, attempt
from brainad.pipeline.model import Model
from brainad.prediction import Prediction
from brainad.prepared import PreparedFolder
from brainad.volume import Volume

_log = logging.getLogger(__name__)


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
    """

    def __init__(
        self,
        model: Model,
        prepared: PreparedFolder,
        encodings: ArrayFolder,
        predictions: PredictionFolder,
    ) -> None:
        self._model = model
        self.prepared = prepared
        self.encodings = encodings
        self.predictions = predictions

    def encoding_key(self, case_id: str) -> str | None:
        """Identify the encoding of a prepared case; None if the case is not prepared."""
        record = self.prepared.record(case_id)
        method = self._model.method
        settings = method.encoding_key if isinstance(method, EncodingMethod) else ""
        return value_hash([record.key, settings]) if record else None

    def is_encoded(self, case_id: str) -> bool:
        """Tell whether a case is prepared and its encoding, if the method has any, is here."""
        key = self.encoding_key(case_id)
        if key is None or not isinstance(self._model.method, EncodingMethod):
            return key is not None
        return self.encodings.holds(case_id, key)

    def encode(self, case_ids: Sequence[str]) -> Iterator[Outcome]:
        """Encode the cases that are not encoded yet; one outcome per case."""
        changed = [
            case_id
            for case_id in case_ids
            if self.encodings.key(case_id) not in (None, self.encoding_key(case_id))
        ]
        if changed:
            _log.info(
                "%d cases are encoded again, e.g. %s: they were prepared anew or the encoder's "
                "settings changed",
                len(changed),
                changed[0],
            )
        for case_id in case_ids:
            if self.is_encoded(case_id):
                yield Outcome(case_id)
            else:
                yield attempt("encode", case_id, self._encoder_of(case_id))

    def _encoder_of(self, case_id: str) -> Callable[[], None]:
        def work() -> None:
            method = self._model.method
            if isinstance(method, EncodingMethod):
                encoding = method.encode(self.prepared.read(case_id))
                self.encodings.write(case_id, str(self.encoding_key(case_id)), encoding)

        return work

    def prediction_keys(self, case_ids: Sequence[str]) -> dict[str, str]:
        """Identify each case's prediction; in a cohort it depends on all cases' encodings."""
        own = {case_id: self.encoding_key(case_id) for case_id in case_ids}
        if self._model.method.scope is Scope.COHORT:
            cohort = value_hash([self._model.model_id, sorted(own.items())])
            return dict.fromkeys(case_ids, cohort)
        return {case_id: value_hash([self._model.model_id, key]) for case_id, key in own.items()}

    def score(self, case_ids: Sequence[str]) -> Iterator[Outcome]:
        """Score encoded cases: each alone, or all together; one outcome per case."""
        keys = self.prediction_keys(case_ids)
        changed = [
            name for name in case_ids if self.predictions.key(name) not in (None, keys[name])
        ]
        if changed:
            _log.info(
                "%d cases are scored again, e.g. %s: they, the cases they are compared with or the "
                "settings changed",
                len(changed),
                changed[0],
            )
        if self._model.method.scope is Scope.CASE:
            for case_id in case_ids:
                if self.predictions.key(case_id) == keys[case_id]:
                    yield Outcome(case_id)
                else:
                    yield attempt("score", case_id, self._scorer_of(case_id, keys[case_id]))
        elif all(self.predictions.key(case_id) == keys[case_id] for case_id in case_ids):
            yield from map(Outcome, case_ids)
        else:
            yield from self._score_together(case_ids, keys)

    def _scorer_of(self, case_id: str, key: str) -> Callable[[], None]:
        def work() -> None:
            for prediction in self._predict([case_id]):
                self._keep(prediction, key)

        return work

    def _score_together(self, case_ids: Sequence[str], keys: dict[str, str]) -> Iterator[Outcome]:
        # Cases stand in a fixed order so that the result does not depend on how they were found.
        for prediction in self._predict(sorted(case_ids)):
            keep = partial(self._keep, prediction, keys[prediction.case_id])
            yield attempt("score", prediction.case_id, keep)

    def _predict(self, case_ids: Sequence[str]) -> Iterator[Prediction]:
        cases: list[PreparedCase] = [self.prepared.read(case_id) for case_id in case_ids]
        method = self._model.method
        if isinstance(method, EncodingMethod):
            return method.score(cases, StoredArrays(self.encodings, case_ids))
        return method.predict(cases)

    def _keep(self, prediction: Prediction, key: str) -> None:
        brain = self.prepared.read(prediction.case_id).brain
        statistics = case_statistics(prediction.anomaly_map.data, brain, prediction.score)
        self.predictions.write(prediction, key, statistics)
