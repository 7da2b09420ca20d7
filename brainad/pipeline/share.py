"""Models in a zip: export, check, install, and open for a prediction without installing."""

from __future__ import annotations

import logging
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from brainad import model_folder
from brainad.errors import UsageError
from brainad.files import content_hash, replacing
from brainad.model_folder import CARD_FILE

_log = logging.getLogger(__name__)

SUMS_FILE = "SHA256SUMS"
LICENCE_FILE = "LICENSE"
_COMPANIONS = ("progress.png", "environment.json", "training_history.json", "held_out.json")
# A model of the largest encoder takes 1.5 GB; a zip that claims much more is a mistake or a trap.
LARGEST_BYTES = 20_000_000_000
_LARGEST_COUNT = 1000
# What zip programs write unless told otherwise; further unpackers would be further risks.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Every entry has the same time, so the same model gives the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Installed:
    """What a zip held.

    Args:
        folders: model folders, where they are or would be.
        licences: what their cards say.
    """

    folders: Sequence[Path]
    licences: Sequence[str]


def export_models(folders: Sequence[Path], root: Path, target: Path) -> None:
    """Write models into a zip, checked file by file, with SHA-256 sums and the licence.

    Args:
        folders: model folders.
        root: folder that the names inside the zip are relative to.
        target: the zip.

    Raises:
        UsageError: a folder is not a model, or a file was changed.
    """
    files = {}
    for folder in folders:
        model_folder.read(folder)
        names = (*model_folder.FILES, CARD_FILE, *_COMPANIONS)
        for path in (folder / name for name in names):
            if path.is_file():
                files[path.relative_to(root).as_posix()] = path
    sums = "".join(f"{content_hash(path)}  {name}\n" for name, path in sorted(files.items()))
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, path in sorted(files.items()):
            with (
                path.open("rb") as source,
                archive.open(_entry(name), "w", force_zip64=True) as entry,
            ):
                shutil.copyfileobj(source, entry, _CHUNK)
        archive.writestr(_entry(SUMS_FILE), sums)
        archive.writestr(_entry(LICENCE_FILE), _licence(folders))


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def _licence(folders: Sequence[Path]) -> str:
    licences = dict.fromkeys(
        model_folder.read_card(folder).get("licence", "") for folder in folders
    )
    lines = [text for text in licences if text] or ["not stated"]
    return "Licence of the models, as their cards state it:\n" + "\n".join(lines) + "\n"


def install_models(
    archive: Path, results: Path, overwrite: bool = False, check_only: bool = False
) -> Installed:
    """Check a zip of models and move its models into the results root.

    Args:
        archive: the zip.
        results: root folder of trained models.
        overwrite: replace models that are there.
        check_only: change nothing.

    Raises:
        UsageError: the zip is damaged or unsafe, or a model exists already.
    """
    results.mkdir(parents=True, exist_ok=True)
    with _extracted(archive, results) as temporary:
        found = _models(temporary, archive)
        targets = [results / folder.relative_to(temporary) for folder in found]
        licences = [str(model_folder.read_card(folder).get("licence", "")) for folder in found]
        existing = [target for target in targets if target.exists()]
        if existing and not (overwrite or check_only):
            raise UsageError(
                f"{len(existing)} of {len(targets)} models exist already",
                str(existing[0]),
                "move them away, or give --overwrite to replace them",
            )
        if not check_only:
            for source, target in zip(found, targets, strict=True):
                with replacing(target) as beside:
                    source.replace(beside)
    return Installed(targets, licences)


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Yield the folder with the models of a path: itself, or the checked content of a zip.

    Raises:
        UsageError: neither a folder nor a good zip.
    """
    if not path.is_file():
        yield path
        return
    with _extracted(path, None) as temporary:
        found = _models(temporary, path)
        # Folds lie side by side; a single model stands for itself.
        yield found[0] if len(found) == 1 else found[0].parent


def _models(folder: Path, archive: Path) -> list[Path]:
    found = sorted(card.parent for card in folder.rglob(CARD_FILE))
    if not found:
        raise UsageError(
            "the zip holds no model", str(archive), "make it with brainad_export_model_to_zip"
        )
    if len({path.parent for path in found}) > 1:
        raise UsageError(
            "the zip holds models of several configurations",
            str(archive),
            "export one configuration per zip",
        )
    for path in found:
        model_folder.read(path)
    return found


@contextmanager
def _extracted(archive: Path, beside: Path | None) -> Iterator[Path]:
    """Unpack a zip into a temporary folder and check every file against its SHA-256."""
    if not archive.is_file():
        raise UsageError("file not found", str(archive), "check the path")
    with tempfile.TemporaryDirectory(prefix=".install_", dir=beside) as name:
        folder = Path(name)
        try:
            with zipfile.ZipFile(archive) as content:
                for entry in _safe_entries(content, archive):
                    _extract(content, entry, folder, archive)
        except (
            zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError
        ) as error:  # fmt: skip
            raise UsageError(
                f"not a readable zip: {error}", str(archive), "get it again"
            ) from error
        _check_sums(folder, archive)
        yield folder


def _safe_entries(content: zipfile.ZipFile, archive: Path) -> list[zipfile.ZipInfo]:
    """Refuse names that leave the folder, links, rare packing, duplicates and absurd sizes."""
    entries = [entry for entry in content.infolist() if not entry.is_dir()]
    names = [entry.filename for entry in entries]
    unsafe = [e.filename for e in entries if not _is_safe_name(e.filename) or _is_link(e)]
    lower = {name.lower() for name in names}
    unusual = [e.filename for e in entries if e.compress_type not in _COMPRESSIONS]
    total = sum(entry.file_size for entry in entries)
    problem = ""
    if unsafe:
        problem = f"{unsafe[0]!r} is not a safe file name"
    elif unusual:
        problem = f"{unusual[0]} is neither deflated nor stored"
    elif len(lower) < len(names):
        problem = "two files have the same name"
    elif len(entries) > _LARGEST_COUNT or total > LARGEST_BYTES:
        problem = (
            f"{len(entries)} files of {total / 1e9:.1f} GB; at most {_LARGEST_COUNT} of "
            f"{LARGEST_BYTES / 1e9:.0f} GB are accepted"
        )
    if problem:
        raise UsageError(
            f"the zip is refused: {problem}", str(archive), "get the zip from a source you trust"
        )
    return entries


def _is_safe_name(name: str) -> bool:
    return bool(name) and all(_PART.fullmatch(part) for part in name.split("/"))


def _is_link(entry: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return kind not in (0, stat.S_IFREG)


def _extract(content: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, archive: Path) -> None:
    """Write one entry; more bytes than it declares are refused."""
    target = folder / PurePosixPath(entry.filename)
    left = entry.file_size
    with (
        replacing(target) as temporary,
        content.open(entry) as source,
        temporary.open("wb") as file,
    ):
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise UsageError(
                    f"{entry.filename} is larger than the zip declares",
                    str(archive),
                    "get the zip from a source you trust",
                )
            file.write(chunk)


def _check_sums(folder: Path, archive: Path) -> None:
    """Compare every file with SHA256SUMS, which must name all of them."""
    path = folder / SUMS_FILE
    if not path.is_file():
        raise UsageError(
            f"the zip has no {SUMS_FILE}", str(archive), "make it with brainad_export_model_to_zip"
        )
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    expected = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    found = {
        file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()
    }
    for extra in (SUMS_FILE, LICENCE_FILE):
        found.pop(extra, None)
    if set(found) != set(expected):
        odd = sorted(set(found) ^ set(expected))
        raise UsageError(
            f"{SUMS_FILE} and the files differ: {', '.join(odd[:3])}", str(archive), "get it again"
        )
    for name, file in found.items():
        if content_hash(file) != expected[name]:
            raise UsageError(
                f"{name} does not match its SHA-256", str(archive), "get the zip again"
            )
