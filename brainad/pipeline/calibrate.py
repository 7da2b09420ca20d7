"""Thresholds from predicted cases that are known to be healthy."""

from __future__ import annotations

from pathlib import Path

from brainad import methods
from brainad.arrays import ArrayFolder
from brainad.errors import UsageError
from brainad.evaluation.calibration import calibrate_on_healthy
from brainad.files import read_json, write_json
from brainad.inference.outputs import REPORT_FILE, OutputFolder
from brainad.pipeline.detect import PredictionFolder
from brainad.pipeline.evaluate import TruthFolder
from brainad.pipeline.model import with_own_threshold
from brainad.plan import to_table
from brainad.prediction import Calibration
from brainad.prepared import PreparedFolder


def calibrate_folder(
    predictions: Path, truth: TruthFolder, fpr: float, target: Path
) -> Calibration:
    """Choose thresholds at a false positive rate and write them.

    Args:
        predictions: output folder of brainad_predict.
        truth: says who is healthy; only these cases are looked at.
        fpr: share of healthy cases that may be called unhealthy, 0 to 1.
        target: JSON file for ``brainad_predict -calibration``.

    Raises:
        UsageError: no predicted case is known to be healthy.
    """
    output = OutputFolder(predictions)
    folder = PredictionFolder(
        ArrayFolder(output.internal / "predictions"), PreparedFolder(output.internal / "prepared")
    )
    healthy = sorted(name for name, label in truth.labels.items() if label == "healthy")
    finished = [
        name
        for name in healthy
        if (marker := output.marker(name)) and not marker.failure and folder.key(name)
    ]
    if not finished:
        raise UsageError(
            f"{len(healthy)} cases are known to be healthy, none of them is predicted here",
            str(predictions),
            "label cases as healthy in cases.csv and predict them; keep the folder .brainad",
        )
    statistics = [folder.statistics(name) for name in finished]
    calibration = _as_the_method(calibrate_on_healthy(statistics, fpr), predictions)
    write_json(target, to_table(calibration))
    return calibration


def _as_the_method(calibration: Calibration, predictions: Path) -> Calibration:
    """Let the method that predicted keep the threshold of its maps, if it has one."""
    report = predictions / REPORT_FILE
    if not report.is_file():
        return calibration
    return with_own_threshold(calibration, methods.get(read_json(report)["configuration"]))
