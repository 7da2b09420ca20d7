"""A method ready to predict, with the plan it follows and how its evidence is read."""

from __future__ import annotations

import functools
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brainad import methods, model_folder
from brainad.errors import UsageError
from brainad.files import value_hash
from brainad.method import EncodingMethod, Method, MethodSpec
from brainad.pipeline.share import opened
from brainad.pipeline.trained import find_model
from brainad.plan import Plan, Resources, from_table, to_table
from brainad.prediction import Calibration


@dataclass(frozen=True)
class Recipe:
    """What a process needs to make a model.

    Args:
        model_id: identifies settings and state, as in `Model`.
        resources: device and weights.
        path: a stored bank or model, as `open_model` takes it, or None for one without state.
        fold: of the stored model.
        plan: JSON of the plan, without a path.
        configuration: name of the method, without a path.
        encoding_key: of the method, if it encodes: the same weights are elsewhere.
    """

    model_id: str
    resources: Resources
    path: Path | None = None
    fold: str | None = None
    plan: str = ""
    configuration: str = ""
    encoding_key: str = ""


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
            f"{', '.join(map(ascii, plan.configurations))}",
            f"plan for {plan.dataset_name!a}",
            "plan again with brainad_plan_experiment",
        )
    planned = plan.preprocessing.slice_axis
    if (own := table.get("slice_axis", planned)) != planned:
        raise UsageError(
            f"slices of {configuration} count along axis {own}, those of preprocessing, and so the "
            f"labels, along axis {planned}",
            f"plan for {plan.dataset_name!a}",
            "give both the same slice_axis",
        )
    settings = from_table(spec.plan_type, table, f"configuration {configuration}")
    return spec.build(settings, resources)


def training_free_model(plan: Plan, configuration: str, resources: Resources) -> Model:
    """Make a model that needs no state."""
    method = build_method(plan, configuration, resources)
    table = to_table(plan)
    model_id = value_hash([configuration, table["configurations"][configuration]])
    recipe = Recipe(
        model_id,
        resources,
        plan=json.dumps(table),
        configuration=configuration,
        encoding_key=_encoding_key(method),
    )
    return Model(plan, configuration, methods.get(configuration), method, None, model_id, recipe)


def open_model(path: Path, resources: Resources, fold: str | None = None) -> Model:
    """Load a bank or trained model.

    Args:
        path: model folder, folder with folds, or zip of either.
        resources: what the machine offers.
        fold: which fold, if there are several; None takes ``all``, else the first.

    Raises:
        UsageError: there is no such model, or a file was changed.
    """
    with opened(path) as folder:
        stored = model_folder.read(find_model(folder, fold))
    method = build_method(stored.plan, stored.configuration, resources)
    method.load_state_dict(stored.state)
    key = _encoding_key(method)
    return Model(
        stored.plan,
        stored.configuration,
        methods.get(stored.configuration),
        method,
        stored.calibration,
        stored.model_id,
        Recipe(stored.model_id, resources, path.absolute(), fold, encoding_key=key),
    )


def stored_channel_names(path: Path, fold: str | None = None) -> Mapping[int, str]:
    """Return what file numbers meant where a bank or model learnt; nothing if its card is silent.

    Args:
        path: model folder, folder with folds, or zip of either.
        fold: as for `open_model`.

    Raises:
        UsageError: there is no such model.
    """
    with opened(path) as folder:
        found = find_model(folder, fold)
        return model_folder.channel_names(model_folder.read_card(found), str(found))


def _encoding_key(method: Method) -> str:
    return method.encoding_key if isinstance(method, EncodingMethod) else ""


@functools.lru_cache(maxsize=1)
def _model_of(recipe: Recipe) -> Model:
    """Make a model once per process.

    Raises:
        UsageError: the stored model is another one by now, or the weights here are others.
    """
    if recipe.path is not None:
        model = open_model(recipe.path, recipe.resources, recipe.fold)
        if model.model_id != recipe.model_id:
            raise UsageError(
                f"model {model.model_id} lies here, not {recipe.model_id}",
                str(recipe.path),
                "do not replace a model while it predicts; run the same command again",
            )
    else:
        plan = from_table(Plan, json.loads(recipe.plan), "plan")
        model = training_free_model(plan, recipe.configuration, recipe.resources)
    if model.recipe.encoding_key != recipe.encoding_key:
        raise UsageError(
            f"the worker (or scheduler) on {platform.node()} sees other weights than "
            "the run that it works for",
            str(recipe.resources.weights),
            "have the same files there on all machines and run the same command again",
        )
    return model
