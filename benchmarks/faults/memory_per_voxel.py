"""Peak memory of checking and preparing one scan, per voxel: the figure behind the guard.

Read, checked, registered to the template and resampled, as the default plan does it; the bias
field and the networks work on grids whose size does not depend on the scan.

    python -m benchmarks.faults.memory_per_voxel [--edge 256]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil

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


def added_gib(home: Path, scan: Path) -> float:
    """Check and prepare a scan in this process and return by how much memory grew at most."""
    before = psutil.Process().memory_info().rss / 1024**3
    case = make_case("case", {"T2": scan})
    inspection = inspect_cases([case], home / f"checked_{scan.stem}")
    plan = read_plan(home / "plan.json").preprocessing
    prepared = PreparedFolder(home / f"prepared_{scan.stem}")
    plan = replace(plan, registration="affine")
    preparer = Preparer(plan, prepared, ("T2",), "cpu", {"case": True})
    outcomes = list(preparer.prepare([case], IN_PROCESS))
    assert not inspection.failures, inspection.failures
    assert not any(outcome.failure for outcome in outcomes), outcomes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2 - before


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
        edges = options.edge // 2, options.edge
        added = []
        for edge in edges:
            large = enlarged(scan, edge, home / f"edge{edge}.nii.gz")
            with context.Pool(1) as pool:
                added.append(pool.apply(added_gib, (home, large)))
            print(f"{edge:4} voxels along an edge: {added[-1]:.2f} GiB more than before")
    voxels = edges[1] ** 3 - edges[0] ** 3
    slope = (added[1] - added[0]) * 1024**3 / voxels
    fixed = added[1] - slope * edges[1] ** 3 / 1024**3
    print(f"{slope:.0f} bytes per voxel and {fixed:.2f} GiB (phantom data)")


if __name__ == "__main__":
    main()
