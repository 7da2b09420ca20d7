"""Where the model of a prediction comes from."""

from __future__ import annotations

import logging
from pathlib import Path

from brainad import methods
from brainad.case import Supervision
from brainad.errors import UsageError
from brainad.pipeline.best_configuration import choose_configuration
from brainad.pipeline.dataset import PLAN_FILE
from brainad.pipeline.folder import ModelChoice
from brainad.pipeline.model import Model, open_model, training_free_model
from brainad.pipeline.planning import keep_or_make_plan, read_plan
from brainad.pipeline.trained import trained_folds, trainer_folder
from brainad.plan import Fingerprint, Plan, Resources
from brainad.planning.planner import PlanningOptions

_log = logging.getLogger(__name__)


def model_from_folder(path: Path, resources: Resources, fold: str | None = None) -> ModelChoice:
    """Use a stored bank or model, whatever the data look like.

    Args:
        path: model folder, folder with folds, or zip of either.
        resources: what the machine offers.
        fold: which fold, if there are several; None takes ``all``, else the first.
    """
    model = open_model(path, resources, fold)
    return lambda _fingerprint: model


def model_of_dataset(
    derived: Path, results: Path, configuration: str | None, fold: str | None, resources: Resources
) -> ModelChoice:
    """Use the plan of a dataset with a training-free method, or the model trained on it.

    If no configuration is named, the best one that was trained answers, else the training-free.

    Raises:
        UsageError: there is no plan, or the method that is asked for was not trained.
    """
    if configuration is None:
        chosen = choose_configuration(results, read_plan(derived / PLAN_FILE))
        configuration = chosen.value
        _log.info("%s", chosen.sentence("configuration"))
    if methods.get(configuration).supervision is Supervision.NONE:
        return model_from_plan(derived / PLAN_FILE, configuration, resources)
    trainer = trainer_folder(results, configuration)
    if not trained_folds(trainer):
        raise UsageError(
            f"{configuration} was not trained on {results.name} yet",
            str(trainer),
            f"train it: brainad_train {results.name} {configuration} all; or use the training-free "
            "method: brainad_predict ... -c codegraph3d",
        )
    return model_from_folder(trainer, resources, fold)


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
    if methods.get(chosen).supervision is not Supervision.NONE:
        raise UsageError(
            f"{chosen} must be trained before it can predict",
            f"configuration {chosen}",
            "name what it was trained on: -d DATASET, or a model: -m FOLDER_OR_ZIP; or use the "
            "training-free method: -c codegraph3d",
        )
    return training_free_model(plan, chosen, resources)
