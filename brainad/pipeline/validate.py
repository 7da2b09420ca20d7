"""Judge held-out cases with a model, and deliver and evaluate them like any prediction."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from brainad.arrays import ArrayFolder
from brainad.case import Case
from brainad.evaluation.calibration import CaseStatistics
from brainad.inference.outputs import OutputFolder
from brainad.pipeline.cases import Watch
from brainad.pipeline.deliver import Deliverer, Delivery
from brainad.pipeline.detect import Detector, PredictionFolder
from brainad.pipeline.evaluate import TruthFolder, evaluate_folder
from brainad.pipeline.executors import IN_PROCESS
from brainad.pipeline.model import Model
from brainad.pipeline.prepare import planned_case
from brainad.prediction import Calibration
from brainad.prepared import PreparedFolder
from brainad.summary import Summary

_log = logging.getLogger(__name__)


class Validation:
    """The held-out cases of a fold.

    Args:
        model: that did not learn from them.
        cases: of the raw dataset; they are prepared.
        prepared: where.
        folder: output folder.
        watch: shows progress.
    """

    def __init__(
        self,
        model: Model,
        cases: Sequence[Case],
        prepared: PreparedFolder,
        folder: Path,
        watch: Watch,
    ) -> None:
        self._model = model
        self._prepared = prepared
        self._output = OutputFolder(folder)
        self._watch = watch
        self._cases = [self._planned(case) for case in cases]
        internal = self._output.internal
        self._predictions = PredictionFolder(ArrayFolder(internal / "predictions"), prepared)
        encodings = ArrayFolder(internal / "encodings")
        self._detector = Detector(
            model, prepared, encodings, self._predictions, IN_PROCESS, internal / "scoring"
        )

    def _planned(self, case: Case) -> Case:
        record = self._prepared.record(case.case_id)
        assert record is not None, "held-out cases are prepared"
        return planned_case(case, record.channels, self._model.plan.preprocessing)

    def judge(self) -> dict[str, CaseStatistics]:
        """Predict the cases; returns what calibration needs to know, without failed cases."""
        names = [case.case_id for case in self._cases]
        statistics = {}
        for stage, work in (("encode", self._detector.encode), ("score", self._detector.score)):
            outcomes = list(self._watch(stage, len(names), work(names)))
            names = [outcome.case_id for outcome in outcomes if not outcome.failure]
        for name in names:
            statistics[name] = self._predictions.statistics(name)
        self._cases = [case for case in self._cases if case.case_id in statistics]
        return statistics

    def deliver(self, calibration: Calibration, truth: TruthFolder, device: str) -> Summary:
        """Write maps, masks and tables of the judged cases, and how good they are.

        Args:
            calibration: thresholds.
            truth: of the held-out cases.
            device: for the table.
        """
        names = [case.case_id for case in self._cases]
        delivery = Delivery(
            calibration=calibration,
            minimum_mm3=0.0,
            slice_axis=self._model.plan.preprocessing.slice_axis,
            channels=self._model.method.channels,
            device=device,
            model_id=self._model.model_id,
            seconds={},
        )
        deliverer = Deliverer(self._output, self._prepared, self._predictions, delivery)
        keys = self._detector.prediction_keys(names)
        for outcome in self._watch("restore", len(names), deliverer.deliver(self._cases, keys)):
            if outcome.failure:
                _log.warning("case %s was not delivered", outcome.case_id)
        self._output.write_tables(names)
        return evaluate_folder(truth, self._output.folder, self._watch)
