"""The steps for one case, in order: brain, alignment, one interpolation, intensities, checks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from brainad.case import Placement, PreparedCase
from brainad.errors import DataError, UsageError
from brainad.plan import PreprocessingPlan
from brainad.preprocessing.bias_field import correct_bias_field
from brainad.preprocessing.brain_mask import hd_bet_brain, nonzero_brain
from brainad.preprocessing.normalisation import NyulReference, standardise, to_unit_interval
from brainad.preprocessing.pyramid import Scan
from brainad.preprocessing.quality import brain_ml, list_flaws
from brainad.preprocessing.registration import Registration, register
from brainad.preprocessing.template import load_template
from brainad.preprocessing.working_grid import share_outside, working_grid
from brainad.resampling import resample
from brainad.volume import Grid, Volume

BrainSource = Literal["nonzero", "hd-bet"]
Matrix = NDArray[np.float64]

# A hundredth of the brain at the border is within what masks differ by.
_TOLERATED_OUTSIDE = 0.01


@dataclass(frozen=True, eq=False)
class Preparation:
    """A prepared case and how well it went.

    Args:
        case: ready for any method.
        warnings: sentences from quality control; empty if all is well.
        measures: quality figures, and seconds per step in ``..._s``.
    """

    case: PreparedCase
    warnings: tuple[str, ...]
    measures: Mapping[str, float]


@dataclass
class _Stopwatch:
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        name = f"{step}_s"
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def prepare_case(
    case_id: str,
    volumes: Mapping[str, Volume],
    reference: str,
    plan: PreprocessingPlan,
    brain_source: BrainSource,
    device: str,
) -> Preparation:
    """Bring one case onto the working grid, with every channel interpolated once.

    Args:
        case_id: name of the case.
        volumes: channel to scan, each on its own grid.
        reference: channel that is aligned to the template and carries the outputs.
        plan: what to do.
        brain_source: where the brain mask comes from, for this case.
        device: where the skull stripping network computes.

    Raises:
        DataError: no brain, no contrast, or a channel without a planned standard.
    """
    watch = _Stopwatch()
    template = load_template(plan.template)
    grid = working_grid(template, plan.working_shape, plan.spacing_mm)
    with watch.time("brain_mask"):
        brain = _find_brain(volumes[reference], brain_source, device)
    with watch.time("registration"):
        registration = None
        if plan.registration != "none":
            scan = Scan(volumes[reference], brain)
            registration = register(scan, template.scan, plan.registration)
    native_from_working = np.eye(4) if registration is None else registration.moving_from_fixed
    brain_working = resample(brain, grid, 0, native_from_working).data
    if not brain_working.any():
        raise DataError("the brain lies outside the working grid", fix="check the file's sform")
    images = {}
    for channel, volume in volumes.items():
        source_from_working = native_from_working
        if channel != reference and plan.coregister:
            with watch.time("coregistration"):
                found = register(Scan(volume, None), Scan(volumes[reference], brain), "rigid")
            source_from_working = found.moving_from_fixed @ native_from_working
        with watch.time("resampling"):
            placed = resample(volume, grid, 1, source_from_working)
        images[channel] = _normalise(channel, placed, brain_working, plan, watch)
    placement = Placement(
        volumes[reference].grid, grid, np.linalg.inv(native_from_working).astype(np.float64)
    )
    return Preparation(
        PreparedCase(case_id, images, brain_working, placement),
        (*list_flaws(brain, registration), *_cut_brain(brain, placement)),
        {**_quality(brain, registration), **watch.seconds},
    )


def _find_brain(volume: Volume, source: BrainSource, device: str) -> Volume:
    if source == "nonzero":
        return nonzero_brain(volume)
    # HD-BET's own code knows the CPU and CUDA only.
    return hd_bet_brain(volume, device="cpu" if device == "mps" else device)


def _normalise(
    channel: str,
    placed: Volume,
    brain: NDArray[np.bool_],
    plan: PreprocessingPlan,
    watch: _Stopwatch,
) -> NDArray[np.float32]:
    landmarks = plan.landmarks.get(channel)
    if landmarks is None:
        raise DataError(
            f"the plan has no intensity standard for channel {channel}, only for "
            f"{', '.join(plan.landmarks)}",
            fix="add its landmarks to the plan",
        )
    if plan.bias_field:
        with watch.time("bias_field"):
            placed = correct_bias_field(placed, Volume(brain, placed.grid))
    with watch.time("normalisation"):
        try:
            standard = NyulReference(tuple(landmarks))
        except ValueError as error:
            raise UsageError(
                f"landmarks of {channel}: {error}", "plan, preprocessing.landmarks", "plan again"
            ) from error
        return to_unit_interval(standardise(placed.data, brain, standard), brain, standard)


def _cut_brain(brain: Volume, placement: Placement) -> tuple[str, ...]:
    """Say how much of the brain the working grid cuts off, if it matters."""
    moved = Grid(brain.grid.shape, placement.working_from_native @ brain.grid.affine)
    share = share_outside(Volume(brain.data, moved), placement.working)
    if share <= _TOLERATED_OUTSIDE:
        return ()
    return (f"{share:.1%} of the brain lies outside the working grid and is not looked at",)


def _quality(brain: Volume, registration: Registration | None) -> dict[str, float]:
    figures = {"brain_ml": brain_ml(brain)}
    if registration:
        figures["similarity"] = registration.similarity
        if registration.overlap is not None:
            figures["overlap"] = registration.overlap
    return figures
