"""Files that are complete or absent: atomic writes, JSON, CSV and content hashes."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from brainad.errors import ResourceError, UsageError

# A cell that starts with one of these is run as a formula by spreadsheet programs.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
# Path separators of any system, and what breaks lines of a log or table.
_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_LONGEST_NAME = 200
_PARTIAL = re.compile(r"\.(?P<host>[0-9a-f]{6})-(?P<process>\d+)-[0-9a-f]{8}\.partial")
# Where Linux tells one start of a machine, and one set of process numbers, from another.
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROCESS_NUMBERS = Path("/proc/self/ns/pid")
# Nobody writes one file for so long; other machines' processes cannot be asked.
_SECONDS_ABANDONED = 24 * 3600.0


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block succeeds.

    The block may create a file or a folder there. If it raises, what it left is removed and
    `path` stays as it was.

    Raises:
        ResourceError: the disk is full.
        UsageError: the folder is not writable.
    """
    writer = f"{_host()}-{os.getpid()}-{uuid4().hex[:8]}"
    temporary = path.with_name(f".{path.name[-80:]}.{writer}.partial{_ending(path)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        _remove(temporary)
        raise _explain(error, path) from error
    except BaseException:
        _remove(temporary)
        raise


def _ending(path: Path) -> str:
    """Keep the ending, because writers choose the format (and gzip) by it."""
    return "".join(path.suffixes[-2:]) if path.name.endswith(".gz") else path.suffix


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()


def remove_leftovers(folder: Path) -> int:
    """Remove what killed processes left half-written below a folder; return how many files.

    What a running process of this machine is writing stays, and so does what another machine
    wrote to within the last day.
    """
    found = 0
    # Other parts of a run may rename what this one is looking at, which os.walk passes over.
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if _is_abandoned(Path(place, name)):
                _remove(Path(place, name))
                found += 1
    return found


def _is_abandoned(path: Path) -> bool:
    match = _PARTIAL.search(path.name)
    if match is None:
        return False
    try:
        written = path.stat().st_mtime
    except FileNotFoundError:
        return False
    if match["host"] != _host():
        return time.time() - written > _SECONDS_ABANDONED
    try:
        # A later process may have been given the same number.
        return psutil.Process(int(match["process"])).create_time() > written + 1
    except psutil.NoSuchProcess:
        return True


def _host() -> str:
    """Identify where process numbers are counted, without telling the machine's name.

    Containers may share the name of a machine, and still count their processes apart.
    """
    counted_by = [platform.node()]
    with suppress(OSError):
        counted_by.append(_BOOT.read_text())
        counted_by.append(str(_PROCESS_NUMBERS.readlink()))
    return hashlib.sha256("".join(counted_by).encode()).hexdigest()[:6]


def is_safe_name(name: str) -> bool:
    """Tell whether a name from outside may become part of a file name and a line of a log."""
    return (
        bool(name.strip(". "))
        and not name.startswith(".")
        and not _UNSAFE.search(name)
        and len(name.encode()) <= _LONGEST_NAME
    )


def safe_name(name: str) -> str:
    """Return a similar name that `is_safe_name` accepts; different names stay different."""
    if is_safe_name(name):
        return name
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"unsafe_{_UNSAFE.sub('_', name)[:40].strip('. ')}_{digest}"


def _explain(error: OSError, path: Path) -> Exception:
    # Numpy tells of an array that was not written to its end without an error number.
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None):
        return ResourceError(
            "no space left on the disk",
            str(path),
            "free some space and run the same command again; finished cases are kept",
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
        return UsageError(
            f"cannot write here: {error.strerror}",
            str(path.parent),
            "choose a folder that you may write to",
        )
    return error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; bytes of file names that are no text are spelt out."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON (no NaN) atomically, in the order given.

    Raises:
        ValueError: the value holds NaN or infinity.
    """
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UsageError: the file is missing, is not UTF-8 or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError("file not found", str(path), "check the path") from error
    except (ValueError, RecursionError, OSError) as error:
        raise UsageError(f"not a readable JSON file: {error}", str(path), "repair it") from error


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Write a UTF-8 comma separated table atomically; absent and None cells stay empty.

    Text that a spreadsheet would run as a formula gets a leading apostrophe.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    write_text(path, buffer.getvalue())


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return "" if value is None else value


def read_csv(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    """Read a table with a header row; every cell is stripped text.

    Raises:
        UsageError: the file is unreadable, or a required column is missing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"not a readable UTF-8 table: {error}", str(path), "repair it") from error
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in required if name not in (reader.fieldnames or ())]
    if missing:
        raise UsageError(
            f"column {', '.join(missing)} is missing; found {', '.join(reader.fieldnames or ())}",
            str(path),
            f"the first line must name the columns {', '.join(required)}",
        )
    return [{k: (v or "").strip() for k, v in row.items() if k is not None} for row in reader]


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def value_hash(value: Any) -> str:
    """Return a short SHA-256 of a JSON value that does not depend on key order."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def compose_key(**parts: str) -> str:
    """Join what a result depends on into a key from which `explain_change` can tell a change."""
    return " ".join(f"{name}={value}" for name, value in parts.items())


def explain_change(old: str, new: str) -> str:
    """Name the parts in which two keys of `compose_key` differ, for the log."""
    before = dict(part.partition("=")[::2] for part in old.split())
    now = dict(part.partition("=")[::2] for part in new.split())
    changed = [name for name, value in now.items() if before.get(name) != value]
    return f"{' and '.join(changed) or 'its key'} changed"


def stat_signature(path: Path) -> tuple[str, int, int]:
    """Return name, size in bytes and modification time in ns: cheap evidence of change.

    A file that cannot be looked at has size and time -1.
    """
    try:
        status = path.stat()
    except OSError:
        return path.name, -1, -1
    return path.name, status.st_size, status.st_mtime_ns
