"""A method ready to predict, with the plan it follows and how its evidence is read."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainad import methods, model_folder
from brainad.errors import UsageError
from brainad.files import value_hash
from brainad.method import Method, MethodSpec
from brainad.plan import Plan, Resources, from_table, to_table
from brainad.prediction import Calibration


@dataclass(frozen=True)
class Recipe:
    """What a process needs to make a model.

    Args:
        resources: device and weights.
        folder: a stored bank or model, or None for one without state.
        plan: JSON of the plan, without a folder.
        configuration: name of the method, without a folder.
    """

    resources: Resources
    folder: Path | None = None
    plan: str = ""
    configuration: str = ""


@dataclass(frozen=True, eq=False)
class Model:
    """What is needed to predict.

    Args:
        plan: preprocessing and settings.
        configuration: name of the method.
        spec: what the pipeline knows about the method.
        method: built, and with its state if it has one.
        calibration: thresholds stored with the model, or None.
        model_id: identifies settings and state.
        recipe: how another process makes the same model.
    """

    plan: Plan
    configuration: str
    spec: MethodSpec[Any]
    method: Method
    calibration: Calibration | None
    model_id: str
    recipe: Recipe

    def __reduce__(self) -> tuple[Callable[[Recipe], Model], tuple[Recipe]]:
        """Travel as the recipe: weights and banks are read where the work is done."""
        return _model_of, (self.recipe,)


def build_method(plan: Plan, configuration: str, resources: Resources) -> Method:
    """Build the method of a configuration with its planned settings.

    Raises:
        UsageError: the plan has no such configuration, or its settings are not valid.
    """
    spec = methods.get(configuration)
    table = plan.configurations.get(configuration)
    if table is None:
        raise UsageError(
            f"the plan has no configuration {configuration!r}, only "
            f"{', '.join(plan.configurations)}",
            plan.dataset_name,
            "plan again with brainad_plan_experiment",
        )
    settings = from_table(spec.plan_type, table, f"configuration {configuration}")
    return spec.build(settings, resources)


def training_free_model(plan: Plan, configuration: str, resources: Resources) -> Model:
    """Make a model that needs no state."""
    return Model(
        plan,
        configuration,
        methods.get(configuration),
        build_method(plan, configuration, resources),
        None,
        value_hash([configuration, to_table(plan)["configurations"][configuration]]),
        Recipe(resources, None, json.dumps(to_table(plan)), configuration),
    )


def open_model(folder: Path, resources: Resources) -> Model:
    """Load a bank or trained model.

    Raises:
        UsageError: the folder is not a model, or a file was changed.
    """
    stored = model_folder.read(folder)
    method = build_method(stored.plan, stored.configuration, resources)
    method.load_state_dict(stored.state)
    return Model(
        stored.plan,
        stored.configuration,
        methods.get(stored.configuration),
        method,
        stored.calibration,
        stored.model_id,
        Recipe(resources, folder.absolute()),
    )


@functools.lru_cache(maxsize=1)
def _model_of(recipe: Recipe) -> Model:
    """Make a model once per process."""
    if recipe.folder is not None:
        return open_model(recipe.folder, recipe.resources)
    plan = from_table(Plan, json.loads(recipe.plan), "plan")
    return training_free_model(plan, recipe.configuration, recipe.resources)
