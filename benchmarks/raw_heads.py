"""Wall time and peak memory per case and stage, from raw head to native map.

Makes phantom heads with skull (the real Colin27 head around a phantom brain) on oblique,
anisotropic, randomly oriented grids, runs brainad_predict on them in a process of its own,
and prints the mean seconds of each step and the peak memory of that process.

    python benchmarks/raw_heads.py tests/data/colin27_t1_head.nii.gz
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from brainad.cli.tables import format_table
from brainad.files import read_json
from brainad.phantom import PhantomOptions
from brainad.pipeline.phantoms import Cohort, write_cohort

SEED = 201
HEALTHY, UNHEALTHY = 4, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("head", type=Path, help="T1 head with skull in MNI space")
    parser.add_argument("-o", type=Path, default=Path("raw_heads_benchmark"))
    arguments = parser.parse_args()
    raw = arguments.o / f"Dataset{SEED}_Heads"
    options = PhantomOptions(
        channels=("T2",),
        lesion="glioma",
        spacing_mm=(0.9, 0.9, 2.0),
        oblique_degrees=12,
        random_orientation=True,
        head=arguments.head,
    )
    write_cohort(Cohort(raw, options, HEALTHY, UNHEALTHY, SEED))
    target = arguments.o / "predictions"
    shutil.rmtree(target, ignore_errors=True)
    command = [str(Path(sys.executable).with_name("brainad_predict"))]
    command += ["-i", str(raw / "imagesTr"), "-o", str(target), "-device", "cpu"]
    code = subprocess.run(command, check=False).returncode
    peak_gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    report = read_json(target / "run_report.json")
    records = [
        read_json(path)["measures"]
        for path in sorted((target / ".brainad" / "prepared").glob("*/record.json"))
    ]
    steps = sorted({name for record in records for name in record if name.endswith("_s")})
    rows = [
        {"step": f"prepare: {name[:-2]}", "s/case": float(np.mean([r[name] for r in records]))}
        for name in steps
    ]
    rows += [
        {"step": stage, "s/case": seconds / (HEALTHY + UNHEALTHY)}
        for stage, seconds in report["seconds_per_stage"].items()
    ]
    print(f"{len(records)} phantom heads with skull, T2, 0.9 x 0.9 x 2 mm; exit code {code}")
    print(format_table(rows))
    print(f"peak memory of the process: {peak_gib:.2f} GiB")


if __name__ == "__main__":
    main()
