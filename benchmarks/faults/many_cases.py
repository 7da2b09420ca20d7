"""Many small scans in one folder among bad files of every kind: nothing is silently missing.

python -m benchmarks.faults.many_cases [--cases 300]
"""

from __future__ import annotations

import argparse
import csv
import resource
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.faults.bad_files import write_bad_files
from benchmarks.faults.small_cohort import predict, scans, write_small_cohort
from brainad.cli.predict import finish
from brainad.cli.runner import EXIT_CASES_FAILED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home:
        cohort = write_small_cohort(Path(home), options.cases, block_size=32)
        bad = write_bad_files(cohort.scans, next(scans(1)))
        target = Path(home) / "out"
        started = time.perf_counter()
        report = predict(cohort, target)
        code = finish(target, report, {}, html=True, part="")
        seconds = time.perf_counter() - started
        with (target / "failed_cases.csv").open(newline="") as file:
            failed = list(csv.DictReader(file))
        with (target / "patient_scores.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    assert code == EXIT_CASES_FAILED
    assert len(failed) == bad, sorted(row["case_id"] for row in failed)
    assert len(rows) == options.cases + bad
    assert sum(bool(row["score"]) for row in rows) == options.cases
    for row in failed:
        print(f"{row['case_id'][:28]:28} {row['error_type']:10} {row['message'][:90]}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(
        f"{options.cases} good and {bad} bad cases: exit code {code}, {seconds:.0f} s, "
        f"peak {peak:.2f} GiB (phantom data)"
    )


if __name__ == "__main__":
    main()
