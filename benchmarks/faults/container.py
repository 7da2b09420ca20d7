"""Predict under the conditions of a locked-down container, with the means at hand.

A user without rights, no network, a read-only file system but for the output and a temporary
folder, 64 MB of shared memory, 8 GiB of address space, an unwritable home and working directory.
Conditions that this system does not let us set are named and left out. The result must be the
same bytes as without any condition.

    python -m benchmarks.faults.container [--cases 6]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.small_cohort import RESOURCES, delivered, predict, write_small_cohort
from brainad.pipeline.bank import build_bank
from brainad.pipeline.cases import unwatched
from brainad.pipeline.folder import FolderOptions
from brainad.pipeline.sources import model_from_folder

ROOT = Path(__file__).parents[2]
_BYTES = 8 * 1024**3
_NOBODY = "65534"
# What holds inside is looked at from the inside.
_PROGRAM = """
import os, resource, socket
shared = os.statvfs("/dev/shm")
limit = resource.getrlimit(resource.RLIMIT_AS)[0]
print("inside: user", os.getuid(),
      "| address space", "no limit" if limit < 0 else f"{limit / 2**30:.0f} GiB",
      "| shared memory", f"{shared.f_blocks * shared.f_frsize / 2**20:.0f} MiB",
      "| network", ", ".join(name for _, name in socket.if_nameindex()),
      "| writable:", [path for path in ("/", "/tmp", ".", os.environ["HOME"], os.environ["TMPDIR"])
                      if os.access(path, os.W_OK) and not os.statvfs(path).f_flag & os.ST_RDONLY],
      flush=True)
from brainad.cli.predict import main
main()
"""


@dataclass(frozen=True)
class Condition:
    """Something that a container may impose.

    Args:
        name: for people.
        wrap: command that runs another one under the condition.
    """

    name: str
    wrap: Callable[[Sequence[str], Path], list[str]]


# From the inside out: who has no rights any more cannot set the others.
CONDITIONS = (
    Condition("a user without rights", lambda command, _: [
        "setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", *command]),
    Condition("8 GiB of address space", lambda command, _: [
        "prlimit", f"--as={_BYTES}", *command]),
    Condition("no network", lambda command, _: ["unshare", "--net", *command]),
    Condition("64 MB of shared memory", lambda command, _: [
        "unshare", "--mount", "sh", "-c",
        'mount -t tmpfs -o size=64m,mode=1777 tmpfs /dev/shm && exec "$@"', "sh", *command]),
    Condition("a read-only file system", lambda command, home: [
        "unshare", "--mount", "sh", "-c",
        'mount --bind "$0" "$0" && mount -o remount,ro,bind / && exec "$@"', str(home), *command]),
)  # fmt: skip


def run_confined(home: Path, cases: int) -> Mapping[str, bool]:
    """Predict confined and free, and compare.

    Args:
        home: empty folder for everything.
        cases: scans.

    Returns:
        The conditions, and whether each could be set.

    Raises:
        AssertionError: the confined run failed, or its result differs.
    """
    home.chmod(0o755)
    cohort = write_small_cohort(home, cases)
    bank, free, confined = home / "bank", home / "free", home / "confined"
    build_bank(cohort.scans, bank, cohort.choose_model, FolderOptions(), 0.2, unwatched)
    predict(cohort, free, choose=model_from_folder(bank, RESOURCES))
    for folder, mode in ((confined, 0o777), (home / "tmp", 0o777), (home / "locked", 0o555)):
        folder.mkdir()
        folder.chmod(mode)
    environment = {
        **{name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ},
        "HOME": str(home / "locked"),
        "TMPDIR": str(home / "tmp"),
        "PYTHONPATH": str(ROOT),
    }
    flags = ("-i", cohort.scans, "-o", confined, "-bank", bank, "-np", "2", "-device", "cpu")
    command = [sys.executable, "-c", _PROGRAM, *map(str, flags)]
    probe = [sys.executable, "-c", "import torch, brainad"]
    applied = {}
    for condition in CONDITIONS:
        tried = condition.wrap(probe, home)
        applied[condition.name] = _succeeds(tried, environment)
        if applied[condition.name]:
            probe, command = tried, condition.wrap(command, home)
    done = subprocess.run(
        command, env=environment, cwd=home / "locked", capture_output=True, text=True, check=False
    )
    print(done.stdout.splitlines()[0] if done.stdout else "")
    assert done.returncode == 0, done.stderr
    # Where worker processes cannot start, multiprocessing complains, and the run goes on in one.
    assert "unexpected error" not in done.stderr, done.stderr
    expected, found = delivered(free), delivered(confined)
    assert found == expected, sorted(
        name for name in expected | found if expected.get(name) != found.get(name)
    )
    assert (confined / "report.html").is_file()
    # The superuser may write anywhere, and libraries then keep their settings in the home.
    if applied["a user without rights"] or os.getuid():
        assert list((home / "locked").iterdir()) == []
    return applied


def _succeeds(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    try:
        done = subprocess.run(
            command, env=environment, cwd="/", capture_output=True, check=False, timeout=300
        )
    except OSError:
        return False
    return done.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        applied = run_confined(Path(home), options.cases)
    for name, could in applied.items():
        print(f"{name:28}{'applied' if could else 'could not be applied here'}")
    print(f"{options.cases} cases: exit code 0, identical to a free run (phantom data)")


if __name__ == "__main__":
    main()
