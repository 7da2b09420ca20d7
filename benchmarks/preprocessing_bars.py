"""Measure the preprocessing steps on data whose answer is known, and print tables.

Brain mask, bias field and ten registrations on the Colin27 head and brain; ten registrations
of an unwarped T2 phantom to the MNI152 T1 template. Run from the repository root:

    python benchmarks/preprocessing_bars.py

Corner error: the distance between where the found and the true transform put a corner of the
box around the fixed brain, in mm of the moving scan, averaged over the eight corners.
"""

from __future__ import annotations

import itertools
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainad.nifti import read_volume
from brainad.phantom import PhantomOptions, render_phantom, sample_parameters
from brainad.phantom.anatomy import Pose
from brainad.preprocessing.bias_field import correct_bias_field
from brainad.preprocessing.brain_mask import hd_bet_brain, nonzero_brain
from brainad.preprocessing.pyramid import Scan
from brainad.preprocessing.registration import Registration, register
from brainad.preprocessing.template import MNI152, load_template
from brainad.resampling import resample
from brainad.volume import Grid, Volume, centred_grid

DATA = Path(__file__).parent.parent / "tests" / "data"
REPEATS = 10
FIELD_OF_VIEW_MM = 256


@dataclass(frozen=True, eq=False)
class Trial:
    """A scan that was moved by a known transform."""

    moving: Scan
    moving_from_fixed: NDArray[np.float64]


def main() -> None:
    head = read_volume(DATA / "colin27_t1_head.nii.gz")
    image = read_volume(DATA / "colin27_t1_brain.nii.gz")
    colin = Scan(image, nonzero_brain(image))
    template = load_template(MNI152).scan
    found = measure_brain_mask("1 mm", head, nonzero_brain(image))
    thick = Grid((*head.grid.shape[:2], 45), head.grid.affine @ np.diag([1, 1, 4, 1]))
    measure_brain_mask("4 mm slices", resample(head, thick), resample(nonzero_brain(image), thick))
    measure_bias_field(head, nonzero_brain(image))
    measure_across_brains(Scan(image, found), template)
    measure_registrations("Colin27 brain to itself", colin, lambda seed: moved(colin, seed))
    measure_registrations("unwarped T2 phantom to MNI152 T1", template, posed_phantom)


def measure_brain_mask(title: str, head: Volume, truth: Volume) -> Volume:
    start = time.perf_counter()
    found = hd_bet_brain(head)
    seconds = time.perf_counter() - start
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    common = (found.data & truth.data).sum()
    dice = 2 * common / (found.data.sum() + truth.data.sum())
    print(f"brain mask, {title}   Dice {dice:.4f}   {seconds:.1f} s   peak {peak_gib:.2f} GiB")
    return found


def measure_bias_field(head: Volume, brain: Volume) -> None:
    x, y, z = (np.linspace(-1, 1, n) for n in head.grid.shape)
    log_field = 0.25 * x[:, None, None] + 0.2 * y[:, None] ** 2 - 0.15 * x[:, None, None] * z
    biased = Volume((head.data * np.exp(log_field)).astype(np.float32), head.grid)
    start = time.perf_counter()
    corrected = correct_bias_field(biased, brain)
    seconds = time.perf_counter() - start
    measured = brain.data & (head.data > 0)
    left = variation(corrected.data[measured] / head.data[measured])
    put_in = variation(np.exp(log_field)[measured])
    print(f"bias field   variation {put_in:.3f} -> {left:.3f}   {seconds:.1f} s")


def variation(values: NDArray[np.floating]) -> float:
    return float(values.std() / values.mean())


def measure_across_brains(colin: Scan, template: Scan) -> None:
    start = time.perf_counter()
    result = register(colin, template)
    seconds = time.perf_counter() - start
    print(f"Colin27 (found mask) to MNI152   {row(result)}   {seconds:.1f} s\n")


def measure_registrations(title: str, fixed: Scan, make: Callable[[int], Trial]) -> None:
    print(f"{title}\nseed  corner error mm  seconds  similarity  overlap  restarted")
    errors, times = [], []
    for seed in range(REPEATS):
        trial = make(seed)
        start = time.perf_counter()
        result = register(trial.moving, fixed)
        times.append(time.perf_counter() - start)
        errors.append(corner_error_mm(result, trial, fixed))
        print(f"{seed:4d}  {errors[-1]:15.2f}  {times[-1]:7.1f}  {row(result)}", flush=True)
    summarise(errors, times)


def row(result: Registration) -> str:
    return f"{result.similarity:10.3f}  {result.overlap or 0:7.3f}  {result.restarted!s:>9}"


def summarise(errors: Sequence[float], times: Sequence[float]) -> None:
    print(f"mean  {np.mean(errors):15.2f}  {np.mean(times):7.1f}")
    print(f" max  {np.max(errors):15.2f}  {np.max(times):7.1f}\n")


def corner_error_mm(result: Registration, trial: Trial, fixed: Scan) -> float:
    assert fixed.brain is not None
    index = np.argwhere(fixed.brain.data)
    corners = np.array(list(itertools.product(*zip(index.min(0), index.max(0), strict=True))))
    world = np.c_[corners, np.ones(8)] @ fixed.brain.grid.affine.T
    difference = (result.moving_from_fixed - trial.moving_from_fixed)[:3] @ world.T
    return float(np.linalg.norm(difference, axis=0).mean())


def random_pose(seed: int) -> Pose:
    rng = np.random.default_rng([seed, 27])
    angles, scales, shifts = rng.uniform((-20, 0.9, -25), (20, 1.1, 25), (3, 3)).T
    return Pose(tuple(angles), tuple(scales), tuple(shifts))


def moved(scan: Scan, seed: int) -> Trial:
    """Sample a scan under a random pose on a large isotropic grid."""
    assert scan.brain is not None
    matrix = random_pose(seed).native_from_template
    edge = FIELD_OF_VIEW_MM
    grid = centred_grid((edge, edge, edge), 1.0, scan.centre_mm())
    image, brain = (
        resample(v, grid, source_from_target=np.asarray(np.linalg.inv(matrix), np.float64))
        for v in (scan.image, scan.brain)
    )
    return Trial(Scan(image, brain), matrix)


def posed_phantom(seed: int) -> Trial:
    """Render a T2 phantom with the template's anatomy under a random pose."""
    options = PhantomOptions(channels=("T2",), warp_mm=0.0, random_orientation=True)
    parameters = replace(sample_parameters(options, seed), pose=random_pose(seed))
    phantom = render_phantom(options, parameters)
    return Trial(Scan(phantom.images["T2"], phantom.brain), phantom.native_from_template)


if __name__ == "__main__":
    main()
