"""What this machine offers, container limits respected."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from brainad.case import Case
from brainad.encoders.device import choose_device
from brainad.encoders.weights import available
from brainad.errors import DataError
from brainad.nifti import read_grid
from brainad.plan import Resources

_log = logging.getLogger(__name__)
_GIB = 1024**3
# Skull stripping peaks at 2.5 GiB (benchmarks/preprocessing_bars.py).
_GIB_PER_PROCESS = 3.0
# The limit of the container or batch job, and what counts towards it.
_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")
# Reading, checking, registering and resampling took 26 bytes per voxel and 0.24 GiB, measured
# with 8 and 64 million voxels in files of 16-bit numbers (benchmarks/faults/memory_per_voxel.py);
# files of 64-bit numbers hold 6 bytes more.
_BYTES_PER_VOXEL = 32
_FIXED_GIB = 0.5
# 300 scans are encoded in 2.5 hours, which leaves the rest of a night for preprocessing.
SECONDS_PER_CASE = 30.0


def limit_files() -> tuple[Path, ...]:
    """List the files that may hold the memory limit of this process's container or batch job."""
    try:
        groups = [line.split(":", 2) for line in _OWN_GROUP.read_text().splitlines()]
    except OSError:
        groups = []
    groups = [group for group in groups if len(group) == 3]
    unified = [group[2] for group in groups if not group[1]]
    memory = [group[2] for group in groups if "memory" in group[1].split(",")]
    return (
        *_upwards(_CGROUP, unified, "memory.max"),
        *_upwards(_CGROUP / "memory", memory, "memory.limit_in_bytes"),
    )


def _upwards(root: Path, groups: Sequence[str], name: str) -> list[Path]:
    """List a file of the given groups and of all that they are in, from the root on."""
    own = [root / group.lstrip("/") for group in groups]
    inside = [folder for each in own for folder in (each, *each.parents)]
    return [f / name for f in dict.fromkeys([root, *inside]) if f.is_relative_to(root)]


def memory_gib(files: tuple[Path, ...] | None = None) -> float:
    """Return the memory this process may still use, container, batch and shell limits respected.

    Args:
        files: that may hold a limit in bytes; None for those of this process.
    """
    free = [float(psutil.virtual_memory().available)]
    for path in limit_files() if files is None else files:
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            free.append(float(text) - _in_use(path.with_name("memory.stat")))
    process = psutil.Process()
    if hasattr(psutil, "RLIMIT_AS"):
        limit, _ = process.rlimit(psutil.RLIMIT_AS)
        if limit != psutil.RLIM_INFINITY:
            free.append(float(limit - process.memory_info().vms))
    return max(0.0, min(free)) / _GIB


def _in_use(statistics: Path) -> float:
    """Return what cannot be given back: memory of processes, not cached files."""
    try:
        lines = statistics.read_text().splitlines()
    except OSError:
        return 0.0
    fields = dict(line.split()[:2] for line in lines if len(line.split()) > 1)
    # Control groups of version 2; of version 1 with the groups inside, and without.
    names = [name for name in ("anon", "total_rss", "rss") if name in fields]
    return float(fields[names[0]]) if names else 0.0


def require_memory(case: Case) -> None:
    """Look at the headers of a case and refuse it if its voxels cannot fit into memory.

    Raises:
        DataError: it needs more than there is.
    """
    voxels = 0.0
    for path in case.images.values():
        with suppress(DataError):  # the check of the case tells what is wrong with the file
            voxels += math.prod(read_grid(path).shape)
    needed, free = _FIXED_GIB + voxels * _BYTES_PER_VOXEL / _GIB, memory_gib()
    if needed > free:
        raise DataError(
            f"{voxels / 1e6:.0f} million voxels need about {needed:.1f} GiB of memory, "
            f"{free:.1f} GiB are free",
            f"case {case.case_id}",
            "use fewer processes (-np 1), a machine with more memory, or resample the scan",
        )


def process_count() -> int:
    """Return how many worker processes preprocessing may use: by cores and by memory."""
    by_memory = int(memory_gib() / _GIB_PER_PROCESS)
    return max(1, min(core_count(), by_memory))


def core_count() -> int:
    """Return the cores this process may run on: batch systems hand out fewer than exist."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):
        return len(process.cpu_affinity())
    return psutil.cpu_count() or 1


def measure_resources(
    weights: Path, device: str = "auto", seconds_per_case: float = SECONDS_PER_CASE
) -> Resources:
    """Measure the machine.

    Args:
        weights: folder with pretrained weights.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        seconds_per_case: time budget for encoding one case.

    Raises:
        UsageError: the device does not exist here.
    """
    return Resources(
        device=str(choose_device(device)),
        memory_gib=memory_gib(),
        threads=core_count(),
        weights=weights,
        encoders=available(weights, "image"),
        vision_language=available(weights, "image_text"),
        seconds_per_case=seconds_per_case,
    )
