"""What this machine offers, container limits respected."""

from __future__ import annotations

import logging
from pathlib import Path

import psutil

from brainad.encoders.device import choose_device
from brainad.encoders.weights import available
from brainad.plan import Resources

_log = logging.getLogger(__name__)
_GIB = 1024**3
# Skull stripping peaks at 2.5 GiB (benchmarks/preprocessing_bars.py).
_GIB_PER_PROCESS = 3.0
_LIMIT_FILES = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
# 300 scans are encoded in 2.5 hours, which leaves the rest of a night for preprocessing.
SECONDS_PER_CASE = 30.0


def memory_gib(limit_files: tuple[Path, ...] = _LIMIT_FILES) -> float:
    """Return the memory this process may use: free memory or the container's limit."""
    limits = [float(psutil.virtual_memory().available)]
    for path in limit_files:
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            limits.append(float(text))
    return min(limits) / _GIB


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
