"""A method ready to predict, with the plan it follows and how its evidence is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brainad import methods, model_folder
from brainad.errors import UsageError
from brainad.files import value_hash
from brainad.method import Method, MethodSpec
from brainad.plan import Plan, Resources, from_table, to_table
from brainad.prediction import Calibration


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
    """

    plan: Plan
    configuration: str
    spec: MethodSpec[Any]
    method: Method
    calibration: Calibration | None
    model_id: str


def with_own_threshold(calibration: Calibration, spec: MethodSpec[Any]) -> Calibration:
    """Let a method's own map threshold replace the chosen one, if it has one."""
    if spec.map_threshold is None:
        return calibration
    source = f"{calibration.source}; maps at the method's own threshold {spec.map_threshold:g}"
    return replace(calibration, map_threshold=spec.map_threshold, source=source)


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
    )
