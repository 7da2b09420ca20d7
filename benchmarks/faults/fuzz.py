"""Mutated inputs: no error outside the error family, no hang, no file where none belongs.

Valid NIfTI files, dataset.json, tables, plans, models and zips of models are changed at random,
a few places at a time, and read as a run reads them. Everything must end within ten seconds, in
a result or in a `BrainadError`, and nothing may appear outside the output folder.

    python -m benchmarks.faults.fuzz [--inputs 2000] [--seed 0]
"""

from __future__ import annotations

import argparse
import copy
import gzip
import hashlib
import json
import random
import shutil
import signal
import stat
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from benchmarks.faults.small_cohort import RESOURCES, SmallCohort, write_small_cohort
from brainad.dataset import read_dataset
from brainad.errors import BrainadError, DataError
from brainad.files import content_hash, write_json
from brainad.input_folder import find_cases, make_case
from brainad.pipeline.bank import build_bank
from brainad.pipeline.cases import run_cases, unwatched
from brainad.pipeline.executors import IN_PROCESS
from brainad.pipeline.folder import FolderOptions
from brainad.pipeline.inspect import inspect_cases
from brainad.pipeline.model import open_model, training_free_model
from brainad.pipeline.planning import read_plan
from brainad.pipeline.prepare import Preparer
from brainad.pipeline.share import SUMS_FILE, export_models, install_models
from brainad.prepared import PreparedFolder

SECONDS = 10.0
_CASES = 6
_EXPECTED = ("DataError", "MemoryError")
_STRANGE: tuple[Any, ...] = (
    None, True, -1, 0, 1, 10**9, 10**30, 1e308, float("nan"), float("inf"), "", "x" * 5000,
    "../../../../escaped", "/etc/passwd", "=cmd()", "a\nb", "-rf", "\ud800", "<script>", [], {},
    [[[]]], ["T1"] * 100,
)  # fmt: skip

_CLIMBING = (
    "../../escaped", "../../../escaped", "bank/../../../escaped", "bank\\..\\..\\escaped",
    "bank/", "bank/.hidden", "C:escaped", "bank/plans.json\n", "BANK/PLANS.JSON", "bank/a/b/c/d",
)  # fmt: skip
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


@dataclass(frozen=True)
class Target:
    """One kind of input: how a valid one is changed, and what a run does with it."""

    name: str
    mutate: Callable[[random.Random, Path], None]
    read: Callable[[Path], object]


@dataclass(frozen=True)
class Finding:
    """An input that did what no input may do."""

    target: str
    seed: int
    problem: str


def fuzz(home: Path, inputs: int, seed: int) -> tuple[list[Finding], Counter[str]]:
    """Try mutated inputs.

    Args:
        home: empty folder for everything.
        inputs: how many, spread evenly over the kinds of input.
        seed: of the first; each input has its own.

    Returns:
        What went wrong, and how often each kind of input was accepted or refused.
    """
    world = _World(home / "world")
    counts: Counter[str] = Counter()
    findings = []
    for target in world.targets:
        # What is refused when nothing was changed would tell nothing.
        world.changing = False
        problem = _try(target, seed, home / "arena", counts)
        if problem or not counts[f"{target.name}: accepted"]:
            raise AssertionError(f"a valid {target.name} is refused: {problem}")
        shutil.rmtree(home / "arena")
    world.changing = True
    counts.clear()
    for number in range(inputs):
        target = world.targets[number % len(world.targets)]
        arena = home / "arena"
        problem = _try(target, seed + number, arena, counts)
        outside = sorted(
            path.name for path in home.iterdir() if path.name not in ("world", "arena")
        )
        problem = problem or (f"files outside the folder: {outside}" if outside else "")
        if problem:
            findings.append(Finding(target.name, seed + number, problem))
        shutil.rmtree(arena, ignore_errors=True)
    return findings, counts


def _try(target: Target, seed: int, arena: Path, counts: Counter[str]) -> str:
    inner = arena / "in" / "deep"
    inner.mkdir(parents=True)
    target.mutate(random.Random(seed), inner)
    # A shared machine may be slow: what counts is the time of this process.
    started = time.process_time()
    try:
        with _deadline():
            target.read(inner)
        counts[f"{target.name}: accepted"] += 1
    except BrainadError as error:
        # What a user would see must be printable whatever the input held.
        str(error).encode()
        counts[f"{target.name}: refused"] += 1
    except Exception:
        return traceback.format_exc()
    seconds = time.process_time() - started
    return f"took {seconds:.1f} s" if seconds > SECONDS else ""


@contextmanager
def _deadline() -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise RuntimeError(f"still busy after {6 * SECONDS:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 6 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class _World:
    """Valid inputs to start from."""

    def __init__(self, home: Path) -> None:
        self.cohort: SmallCohort = write_small_cohort(home, _CASES)
        self.scan = next(iter(sorted(self.cohort.scans.iterdir())))
        self.changing = True
        self.voxels = gzip.decompress(self.scan.read_bytes())
        self.plan = json.loads(self.cohort.plan.read_text())
        self.bank = home / "bank"
        options = FolderOptions()
        build_bank(self.cohort.scans, self.bank, self.cohort.choose_model, options, 0.2, unwatched)
        self.zip = home / "model.zip"
        export_models([self.bank], home, self.zip)
        self.names_that_climb = (*_CLIMBING, str(home.parent / "escaped"))
        self.targets = (
            Target("nifti", self._nifti, self._check),
            Target("nifti.gz", self._nifti_gz, self._check),
            Target("dataset.json", self._description, read_dataset),
            Target("cases.csv", self._tables, read_dataset),
            Target("plan", self._plan_file, self._follow),
            Target("model", self._model, lambda folder: open_model(folder / "bank", RESOURCES)),
            Target("model zip", self._zip, self._install),
        )

    def _bytes(self, rng: random.Random, content: bytes, share: float = 1.0) -> bytes:
        return _mutated(rng, content, share) if self.changing else content

    def _json(self, rng: random.Random, path: Path, value: Any) -> None:
        if self.changing:
            _write_mutated_json(rng, path, value)
        else:
            write_json(path, value)

    def _nifti(self, rng: random.Random, folder: Path) -> None:
        (folder / "case_0000.nii").write_bytes(
            self._bytes(rng, self.voxels, 352 / len(self.voxels))
        )

    def _nifti_gz(self, rng: random.Random, folder: Path) -> None:
        if rng.random() < 0.5:
            content = self._bytes(rng, gzip.compress(self.voxels, 1))
        else:
            content = gzip.compress(self._bytes(rng, self.voxels, 352 / len(self.voxels)), 1)
        (folder / "case_0000.nii.gz").write_bytes(content)

    def _check(self, folder: Path) -> None:
        path = next(iter(folder.iterdir()))
        case = make_case("case", {"T2": path})
        inspection = inspect_cases([case], folder.parent / "checked")
        for failure in inspection.failures.values():
            if failure.error_type not in _EXPECTED:
                raise AssertionError(failure)
            raise DataError(failure.message)

    def _dataset(self, folder: Path) -> dict[str, Any]:
        images = folder / "imagesTr"
        images.mkdir()
        for number in range(2):
            shutil.copy2(self.scan, images / f"case{number}_0000.nii.gz")
        return {
            "channel_names": {"0": "T2", "1": "FLAIR"},
            "labels": {"background": 0, "lesion": 1, "ignore": 2},
            "numTraining": 2,
            "file_ending": ".nii.gz",
            "dataset": {"a": {"images": ["imagesTr/case0_0000.nii.gz"], "label": None}},
            "brainad": {
                "format_version": 1,
                "required_channels": ["T2"],
                "channel_aliases": {"T2": ["tee2"]},
                "anomaly_labels": [1],
                "skull_stripped": "auto",
                "axis": "auto",
                "case_table": "cases.csv",
                "slice_table": "slices.csv",
            },
        }

    def _description(self, rng: random.Random, folder: Path) -> None:
        description = self._dataset(folder)
        if rng.random() < 0.5:
            del description["dataset"]
        self._json(rng, folder / "dataset.json", description)

    def _tables(self, rng: random.Random, folder: Path) -> None:
        description = self._dataset(folder)
        del description["dataset"]
        write_json(folder / "dataset.json", description)
        cases = b"case_id,label,subset,patient_id\ncase0,healthy,train,p\ncase1,unhealthy,val,p\n"
        slices = b"case_id,axis,slice_index,label\ncase1,2,10,unhealthy\ncase1,2,11,healthy\n"
        (folder / "cases.csv").write_bytes(self._bytes(rng, cases))
        (folder / "slices.csv").write_bytes(self._bytes(rng, slices))

    def _plan_file(self, rng: random.Random, folder: Path) -> None:
        self._json(rng, folder / "plan.json", self.plan)

    def _follow(self, folder: Path) -> None:
        plan = read_plan(folder / "plan.json")
        model = training_free_model(plan, plan.default_configuration, RESOURCES)
        case = find_cases(self.cohort.scans).cases[0]
        prepared = PreparedFolder(folder / "prepared")
        channels = model.method.channels
        stripped = {case.case_id: True}
        preparer = Preparer(plan.preprocessing, prepared, channels, "cpu", stripped)

        def work(_case: object) -> None:
            for outcome in preparer.prepare([case], IN_PROCESS):
                if outcome.failure:
                    raise DataError(outcome.failure.message)
            model.method.encode(prepared.read(case.case_id))  # type: ignore[attr-defined]

        for outcome in run_cases("encode", [(case.case_id, case)], work):
            if outcome.failure and outcome.failure.error_type not in _EXPECTED:
                raise AssertionError(outcome.failure)
            if outcome.failure:
                raise DataError(outcome.failure.message)

    def _model(self, rng: random.Random, folder: Path) -> None:
        bank = folder / "bank"
        shutil.copytree(self.bank, bank)
        victim = rng.choice(sorted(bank.iterdir()))
        if victim.suffix == ".json" and rng.random() < 0.7:
            self._json(rng, victim, json.loads(victim.read_text()))
        else:
            victim.write_bytes(self._bytes(rng, victim.read_bytes(), 0.02))
        card = bank / "model_card.json"
        if victim != card and rng.random() < 0.8:
            # An attacker computes the sums anew.
            table = json.loads(card.read_text())
            table["sha256"][victim.name] = content_hash(victim)
            write_json(card, table)

    def _zip(self, rng: random.Random, folder: Path) -> None:
        archive = folder / "model.zip"
        if not self.changing or rng.random() < 0.3:
            archive.write_bytes(self._bytes(rng, self.zip.read_bytes()))
            return
        self._model(rng, folder)
        files = {f"bank/{path.name}": path.read_bytes() for path in (folder / "bank").iterdir()}
        if rng.random() < 0.5:
            name = rng.choice(sorted(files))
            files[rng.choice(self.names_that_climb)] = files.pop(name)
        sums = "".join(f"{hashlib.sha256(c).hexdigest()}  {n}\n" for n, c in files.items())
        with zipfile.ZipFile(archive, "w", rng.choice(_COMPRESSIONS)) as made:
            for name, content in {**files, SUMS_FILE: sums.encode()}.items():
                entry = zipfile.ZipInfo(name)
                if rng.random() < 0.05:
                    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
                made.writestr(entry, content, made.compression)
        if rng.random() < 0.2:
            archive.write_bytes(self._bytes(rng, archive.read_bytes()))

    def _install(self, folder: Path) -> None:
        install_models(folder / "model.zip", folder.parent / "results")
        open_model(folder / "model.zip", RESOURCES)


def _mutated(rng: random.Random, content: bytes, share: float = 1.0) -> bytes:
    """Overwrite, insert, delete or cut in the first part of the content."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(max(1, int(share * len(data))))
        match rng.randrange(6):
            case 0:
                data[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                data[place : place + 4] = rng.choice(_WORDS)
            case 2:
                data[place:place] = rng.randbytes(rng.randint(1, 8))
            case 3:
                del data[place : place + rng.randint(1, 8)]
            case 4 if rng.random() < 0.2:
                del data[place:]
            case _:
                data[place : place + 2] = rng.choice([b"\x00\x00", b"\xff\xff", b"\xff\x7f"])
        if not data:
            return b""
    return bytes(data)


_WORDS = [
    *(np.float32(x).tobytes() for x in (0, -1, 1e-30, 1e30, np.nan, np.inf, 352, 1e9)),
    *(np.int32(x).tobytes() for x in (0, -1, 2**31 - 1, -(2**31), 348, 540)),
    b"\n=1+", b"../.", b'","\n', b"\xf0\x9f\x98\x80",
]  # fmt: skip


def _write_mutated_json(rng: random.Random, path: Path, value: Any) -> None:
    """Write JSON with a few values, keys or bytes changed."""
    table = json.loads(json.dumps(value))
    for _ in range(rng.randint(1, 3)):
        _change(rng, table)
    text = json.dumps(table)
    content = text.encode(errors="surrogatepass")
    if rng.random() < 0.2:
        content = _mutated(rng, content)
    path.write_bytes(content)


def _change(rng: random.Random, table: Any) -> None:
    """Change one value somewhere inside, near the top as likely as far down."""
    while True:
        keys = list(table) if isinstance(table, dict) else list(range(len(table)))
        if not keys:
            return
        key = rng.choice(keys)
        inner = table[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
            table = inner
            continue
        match rng.randrange(4):
            case 0 if isinstance(table, dict):
                table[str(rng.choice(_STRANGE))] = table.pop(key)
            case 1:
                del table[key]
            case 2 if isinstance(inner, int | float) and not isinstance(inner, bool):
                table[key] = inner * rng.choice([-1, 0, 0.5, 3, 1e6])
            case _:
                # A copy: what is put in may itself be changed next.
                table[key] = copy.deepcopy(rng.choice(_STRANGE))
        return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        findings, counts = fuzz(Path(home), options.inputs, options.seed)
    for name, count in sorted(counts.items()):
        print(f"{name:28}{count:6}")
    seconds = time.perf_counter() - started
    print(f"{options.inputs} inputs in {seconds:.0f} s, {len(findings)} findings")
    for finding in findings:
        print(f"\n{finding.target}, seed {finding.seed}:\n{finding.problem}")
    raise SystemExit(bool(findings))


if __name__ == "__main__":
    main()
