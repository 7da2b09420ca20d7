"""What a device name means on this machine."""

from __future__ import annotations

import re

import torch

from brainad.errors import UsageError

_NAMES = re.compile(r"auto|cpu|mps|cuda(:(?P<index>\d+))?")
_FIX = "use one of auto, cpu, cuda, cuda:N, mps; auto takes cuda where there is one, else cpu"


def choose_device(name: str) -> torch.device:
    """Turn ``auto | cpu | cuda | cuda:N | mps`` into a device that exists here.

    Raises:
        UsageError: the name is unknown, or this machine has no such device.
    """
    match = _NAMES.fullmatch(name)
    if match is None:
        raise UsageError(f"unknown device {name!r}", where="-device", fix=_FIX)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and int(match["index"] or 0) >= _cuda_devices():
        raise _unavailable(name, f"{_cuda_devices()} CUDA devices found")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise _unavailable(name, "no Metal device found")
    return device


def _cuda_devices() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _unavailable(name: str, found: str) -> UsageError:
    return UsageError(f"device {name} is not available: {found}", where="-device", fix=_FIX)
