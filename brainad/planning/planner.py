"""Put the decisions together into a plan that gives a reason for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from brainad.files import value_hash
from brainad.method import MethodSpec
from brainad.plan import (
    FORMAT_VERSION,
    Fingerprint,
    Plan,
    PreprocessingPlan,
    Resources,
    to_table,
)
from brainad.planning.anatomy import Box
from brainad.planning.configuration import can_run, choose_configuration
from brainad.planning.rules import (
    choose_bias_field,
    choose_brain_mask,
    choose_channels,
    choose_coregistration,
    choose_landmarks,
    choose_registration,
    choose_slice_axis,
    choose_working_grid,
)


@dataclass(frozen=True)
class WorkingSpace:
    """The space that cases are brought into.

    Args:
        template: ``mni152`` or the path of a skull-stripped template.
        brain_box_mm: lowest and highest position of its brain per axis x, y, z.
        landmarks: channel to the standard intensities of the built-in reference.
    """

    template: str
    brain_box_mm: Box
    landmarks: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class PlanningOptions:
    """What the user says before anything is decided.

    Args:
        skull_stripped: what the user knows, or ``auto`` to trust the measurement.
        slice_axis: ``axial``, ``coronal``, ``sagittal`` or ``auto``.
        spacing_mm: voxel edge of the working grid, None to have it chosen.
    """

    skull_stripped: bool | Literal["auto"] = "auto"
    slice_axis: str = "auto"
    spacing_mm: float | None = None


def plan_dataset(
    dataset_name: str,
    fingerprint: Fingerprint,
    resources: Resources,
    specs: Mapping[str, MethodSpec[Any]],
    space: WorkingSpace,
    options: PlanningOptions | None = None,
) -> Plan:
    """Decide how a dataset is prepared and which methods can run on it.

    Args:
        dataset_name: for the record.
        fingerprint: what was measured.
        resources: what the machine offers; methods plan their settings with it.
        specs: the methods at hand, by name.
        space: template and intensity reference.
        options: what the user says.

    Raises:
        UsageError: an option is out of range, or no method is at hand.
    """
    options = options or PlanningOptions()
    preprocessing, reasons = plan_preprocessing(fingerprint, space, options)
    default = choose_configuration(fingerprint, specs)
    reasons.append(default.sentence("default configuration"))
    configurations = {}
    for name, spec in specs.items():
        runnable = can_run(spec.supervision, fingerprint)
        state = "can run" if runnable.value else "cannot run"
        reasons.append(f"configuration {name} = {state}: {runnable.because}")
        if runnable.value:
            settings = spec.plan(fingerprint, preprocessing, resources)
            configurations[name] = to_table(settings)
            reasons += [f"{name}: {reason}" for reason in settings.reasons]
    return Plan(
        format_version=FORMAT_VERSION,
        dataset_name=dataset_name,
        default_configuration=default.value,
        preprocessing=preprocessing,
        configurations=configurations,
        reasons=tuple(reasons),
        fingerprint_hash=facts_hash(fingerprint, options),
    )


def facts_hash(fingerprint: Fingerprint, options: PlanningOptions) -> str:
    """Identify what a plan stands on: the measurements, and what the user declares of the data."""
    return value_hash([to_table(fingerprint), options.skull_stripped, options.slice_axis])


def plan_preprocessing(
    fingerprint: Fingerprint, space: WorkingSpace, options: PlanningOptions
) -> tuple[PreprocessingPlan, list[str]]:
    """Decide how cases are prepared; returns the plan and its reasons."""
    channels = choose_channels(fingerprint)
    mask = choose_brain_mask(fingerprint, options.skull_stripped)
    bias = choose_bias_field(fingerprint, mask.value)
    together = choose_coregistration(fingerprint, mask.value)
    registration = choose_registration(fingerprint)
    grid = choose_working_grid(
        fingerprint, space.brain_box_mm, registration.value, options.spacing_mm
    )
    axis = choose_slice_axis(fingerprint, options.slice_axis)
    landmarks = choose_landmarks(channels.value, space.landmarks)
    shape, spacing_mm = grid.value
    plan = PreprocessingPlan(
        channels=channels.value,
        brain_mask=mask.value,
        bias_field=bias.value,
        coregister=together.value,
        registration=registration.value,
        template=space.template,
        working_shape=shape,
        spacing_mm=spacing_mm,
        landmarks=landmarks.value,
        slice_axis=axis.value,
    )
    size = " x ".join(str(n) for n in shape)
    reasons = [
        f"channels = {', '.join(channels.value)}: {channels.because}",
        mask.sentence("brain mask"),
        f"bias field correction = {_on(bias.value)}: {bias.because}",
        f"co-registration of channels = {_on(together.value)}: {together.because}",
        registration.sentence("registration"),
        f"working grid = {size} voxels of {spacing_mm:.4g} mm: {grid.because}",
        axis.sentence("slice axis"),
        f"intensity standardisation = {', '.join(landmarks.value) or 'none'}: {landmarks.because}",
    ]
    return plan, reasons


def _on(value: bool) -> str:
    return "on" if value else "off"
