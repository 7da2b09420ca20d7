"""The self test: a small phantom cohort must get the scores it got when the version was made."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources as package_files
from pathlib import Path

import numpy as np

from brainad.errors import DataError
from brainad.phantom import PhantomOptions
from brainad.pipeline.folder import FolderOptions
from brainad.pipeline.model import Model, training_free_model
from brainad.pipeline.phantoms import Cohort, write_cohort
from brainad.pipeline.planning import make_plan
from brainad.pipeline.predict import DecisionOptions, predict_folder
from brainad.plan import Fingerprint, Resources
from brainad.planning.planner import PlanningOptions

CONFIGURATION = "codegraph3d"
# Processors round differently; a wrong library or weight file changes the first digits.
_TOLERANCE = 0.01
_LAYERS = {"tiny": (1, 2, 3), "dinov2_vits14": (3, 6, 9)}
_HEALTHY, _UNHEALTHY = 4, 1


def golden_scores() -> Mapping[str, tuple[float, ...]]:
    """Return the stored scores of the five phantoms, per encoder."""
    path = package_files.files("brainad.pipeline") / "golden_scores.json"
    table: Mapping[str, list[float]] = json.loads(path.read_text())["scores"]
    return {encoder: tuple(scores) for encoder, scores in table.items()}


def measure_scores(encoder: str, resources: Resources) -> tuple[float, ...]:
    """Make five coarse phantoms in a temporary folder, predict them, and return their scores.

    Args:
        encoder: ``tiny``, or one whose weights are here.
        resources: device and weights.

    Raises:
        DataError: a phantom failed.
    """

    def choose(fingerprint: Fingerprint) -> Model:
        options = PlanningOptions(spacing_mm=4.0)
        plan = make_plan("self test", fingerprint, resources, options)
        settings = {
            **plan.configurations[CONFIGURATION],
            "encoder": encoder,
            "layers": _LAYERS[encoder],
            "slices_per_block": 1,
            # Groups are found by comparing numbers; rounding could decide.
            "graph": None,
        }
        return training_free_model(
            replace(plan, configurations={CONFIGURATION: settings}), CONFIGURATION, resources
        )

    options = PhantomOptions(
        channels=("T2",),
        lesion="glioma",
        lesion_radius_mm=(18.0, 20.0),
        spacing_mm=(5.0, 5.0, 5.0),
        warp_mm=1.0,
        random_pose=False,
    )
    with tempfile.TemporaryDirectory(prefix="brainad_self_test_") as home:
        raw = Path(home) / "Dataset001_SelfTest"
        write_cohort(Cohort(raw, options, _HEALTHY, _UNHEALTHY, seed=7))
        report = predict_folder(
            raw / "imagesTr",
            Path(home) / "out",
            choose,
            FolderOptions(device=resources.device),
            DecisionOptions(),
        )
    if report.failed:
        failure = report.failed[0].failure or {}
        raise DataError(
            f"self test: a phantom failed: {failure.get('message')}", fix="install brainad again"
        )
    return tuple(float(marker.row["score_raw"]) for marker in report.markers)


def run_self_test(encoder: str, resources: Resources) -> str:
    """Compare the scores of the phantoms with the stored ones and say by how much they differ.

    Raises:
        DataError: they differ by more than rounding.
    """
    expected, found = (
        np.array(golden_scores()[encoder]),
        np.array(measure_scores(encoder, resources)),
    )
    deviation = float(np.abs(found / expected - 1).max())
    if not deviation <= _TOLERANCE:
        raise DataError(
            f"self test with encoder {encoder}: scores differ by {deviation:.1%} from the stored "
            f"ones, {_TOLERANCE:.0%} is allowed",
            f"device {resources.device}",
            "install brainad and its weights again; if that does not help, please report it",
        )
    return f"encoder {encoder}: scores within {deviation:.2%} of the stored ones"
