"""Peak memory of checking and preparing one scan, per voxel: the figure behind the guard.

python -m benchmarks.faults.memory_per_voxel [--edge 256]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.faults.small_cohort import write_small_cohort
from brainad.input_folder import make_case
from brainad.nifti import read_volume
from brainad.pipeline.executors import IN_PROCESS
from brainad.pipeline.inspect import inspect_cases
from brainad.pipeline.planning import read_plan
from brainad.pipeline.prepare import Preparer
from brainad.prepared import PreparedFolder
from brainad.resampling import resample
from brainad.volume import Grid


def peak_gib(home: Path, scan: Path) -> float:
    """Check and prepare a scan in this process and return its peak memory."""
    case = make_case("case", {"T2": scan})
    inspection = inspect_cases([case], home / f"checked_{scan.stem}")
    plan = read_plan(home / "plan.json").preprocessing
    prepared = PreparedFolder(home / f"prepared_{scan.stem}")
    preparer = Preparer(plan, prepared, ("T2",), "cpu", {"case": True})
    outcomes = list(preparer.prepare([case], IN_PROCESS))
    assert not inspection.failures, inspection.failures
    assert not any(outcome.failure for outcome in outcomes), outcomes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def enlarged(scan: Path, edge: int, target: Path) -> Path:
    """Sample a scan with `edge` voxels along every axis, as 16-bit integers."""
    volume = read_volume(scan)
    factor = np.array(volume.grid.shape) / edge
    affine = volume.grid.affine @ np.diag([*factor, 1])
    data = resample(volume, Grid((edge, edge, edge), affine), 1).data
    nib.nifti1.save(nib.nifti1.Nifti1Image(data.astype(np.int16), affine), target)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=256)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        cohort = write_small_cohort(home, 3)
        scan = next(iter(sorted(cohort.scans.iterdir())))
        peaks = []
        for edge in (options.edge // 4, options.edge):
            large = enlarged(scan, edge, home / f"edge{edge}.nii.gz")
            with context.Pool(1) as pool:
                peaks.append(pool.apply(peak_gib, (home, large)))
            print(f"{edge:4} voxels along an edge: peak {peaks[-1]:.2f} GiB")
    voxels = options.edge**3 - (options.edge // 4) ** 3
    print(f"{(peaks[1] - peaks[0]) * 1024**3 / voxels:.0f} bytes per voxel (phantom data)")


if __name__ == "__main__":
    main()
