"""Where the model of a prediction comes from."""

from __future__ import annotations

import logging
from pathlib import Path

from brainad.pipeline.folder import ModelChoice
from brainad.pipeline.model import Model, open_model, training_free_model
from brainad.pipeline.planning import keep_or_make_plan, read_plan
from brainad.plan import Fingerprint, Plan, Resources
from brainad.planning.planner import PlanningOptions

_log = logging.getLogger(__name__)


def model_from_folder(folder: Path, resources: Resources) -> ModelChoice:
    """Use a stored bank or model, whatever the data look like."""
    model = open_model(folder, resources)
    return lambda _fingerprint: model


def model_from_plan(path: Path, configuration: str | None, resources: Resources) -> ModelChoice:
    """Use the plan of a dataset.

    Raises:
        UsageError: there is no plan, or it lacks the configuration.
    """
    model = _training_free(read_plan(path), configuration, resources)
    return lambda _fingerprint: model


def model_planned_here(
    path: Path, name: str, configuration: str | None, resources: Resources
) -> ModelChoice:
    """Plan for the scans at hand; a plan that is there already and fits them is kept."""

    def choose(fingerprint: Fingerprint) -> Model:
        plan = keep_or_make_plan(path, name, fingerprint, resources, PlanningOptions())
        for reason in plan.reasons:
            _log.info("plan: %s", reason)
        return _training_free(plan, configuration, resources)

    return choose


def _training_free(plan: Plan, configuration: str | None, resources: Resources) -> Model:
    chosen = configuration or plan.default_configuration
    if configuration is None:
        _log.info("configuration %s, the default of the plan", chosen)
    return training_free_model(plan, chosen, resources)
