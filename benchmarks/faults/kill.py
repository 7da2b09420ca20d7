"""kill -9 at random moments of a run, again and again; then the run to its end.

Whatever the moments are, the result must be that of a run nobody interrupted, byte for byte,
with no case lost or doubled and no unfinished file left. Each run is a forked process, so that
the time goes into the work and not into imports.

    python -m benchmarks.faults.kill [--cases 20] [--kills 25] [--seed 0]
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.faults.small_cohort import SmallCohort, delivered, predict, write_small_cohort


def run_until_killed(cohort: SmallCohort, target: Path, seconds: float | None) -> bool:
    """Predict in a process of its own and kill it after some seconds; tell whether it ended."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            logging.disable()
            report = predict(cohort, target)
            code = 3 if report.failed else 0
        finally:
            os._exit(code)
    if seconds is not None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            done, status = os.waitpid(process, os.WNOHANG)
            if done:
                return _ended_well(status)
            time.sleep(0.002)
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    return _ended_well(status)


def _ended_well(status: int) -> bool:
    if os.WIFSIGNALED(status):
        return False
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise AssertionError(f"a run ended with code {code}")
    return True


def kill_again_and_again(home: Path, cases: int, kills: int, seed: int) -> dict[str, float]:
    """Compare a run that was killed many times with one that was not.

    Args:
        home: empty folder for everything.
        cases: in the cohort.
        kills: how often the run is killed.
        seed: of the moments.

    Returns:
        Figures to report.

    Raises:
        AssertionError: a byte differs, or an unfinished file was left.
    """
    torch.set_num_threads(1)
    cohort = write_small_cohort(home, cases)
    started = time.perf_counter()
    assert run_until_killed(cohort, home / "whole", None)
    whole = time.perf_counter() - started
    rng = random.Random(seed)
    killed = 0
    started = time.perf_counter()
    for _ in range(kills):
        # On average the moments reach the end of the run with the last one.
        killed += not run_until_killed(cohort, home / "killed", rng.uniform(0, 3 * whole / kills))
    left = sum(1 for _ in (home / "killed").rglob(".*.partial*"))
    assert run_until_killed(cohort, home / "killed", None)
    expected, found = delivered(home / "whole"), delivered(home / "killed")
    assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
    differing = [name for name, content in expected.items() if found[name] != content]
    assert not differing, differing
    assert not list((home / "killed").rglob(".*.partial*"))
    assert not (home / "killed" / ".brainad" / "scoring" / "score").exists()
    return {
        "cases": cases,
        "kills": killed,
        "files compared": len(expected),
        "unfinished files that were cleaned": left,
        "seconds of the whole run": round(whole, 1),
        "seconds of all others": round(time.perf_counter() - started, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        figures = kill_again_and_again(Path(home), options.cases, options.kills, options.seed)
    for name, value in figures.items():
        print(f"{name:36}{value:>8}")
    print("identical, nothing lost, nothing doubled, nothing left (phantom data)")


if __name__ == "__main__":
    main()
