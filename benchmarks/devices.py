"""Seconds, memory and maps of each method on a device, against the CPU in the same process.

Every method is planned for the device, learns there for a moment, and then the same state judges
the same scans there and on the CPU. Phantoms; what they are taken for says nothing here.

    python -m benchmarks.devices cuda
    python -m benchmarks.devices cuda medsad_clip rasalore
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.trained_cohorts import Design, Prepared, merged, prepare
from brainad import methods
from brainad.arrays import ArrayFolder
from brainad.case import PreparedCase
from brainad.cli.tables import format_table
from brainad.encoders.device import choose_device
from brainad.files import read_json
from brainad.method import Method, MethodSpec
from brainad.pipeline.dataset import FINGERPRINT_FILE, PREPARED_FOLDER, TRUTH_FOLDER
from brainad.plan import Fingerprint, MethodPlan, Resources, from_table, to_table
from brainad.prediction import Prediction
from brainad.prepared import PreparedFolder
from brainad.training.session import MemorySession
from brainad.training.supervision import TrainingCases
from brainad.truth import PreparedTruthFolder

_COHORT = Design(Path(), ("T2", "FLAIR"), "glioma", (2, 3), 2, (2, 2), 105, spacing_mm=2.0)
# As planned but for the time it takes: sizes and batches, which memory depends on, stay.
_MOMENT: Mapping[str, Mapping[str, Any]] = {
    "anyad": {"epochs": 1},
    "rasalore": {
        "least_mask": 1,
        "tuning": {"slices_per_class": 60, "space_epochs": 2, "guidance_epochs": 1, "epochs": 1},
        "training": {"slices": 64, "epochs": 1, "channel_epochs": 1},
    },
    "medsad_clip": {"epochs": 1, "batches_per_epoch": 5},
}


def plan_for(spec: MethodSpec[Any], prepared: Prepared, resources: Resources) -> MethodPlan:
    """Plan a method for a device, with a short training."""
    path = prepared.derived("training") / FINGERPRINT_FILE
    fingerprint = from_table(Fingerprint, read_json(path), str(path))
    planned = to_table(spec.plan(fingerprint, prepared.plan.preprocessing, resources))
    table = merged(planned, _MOMENT.get(spec.name, {}))
    plan: MethodPlan = from_table(spec.plan_type, table, spec.name)
    return plan


def learn(spec: MethodSpec[Any], method: Method, prepared: Prepared) -> float:
    """Let a method learn from the training cohort; return the seconds."""
    folder = prepared.derived("training")
    truths = PreparedTruthFolder(ArrayFolder(folder / TRUTH_FOLDER))
    names = prepared.design.cohort("training").case_ids()
    cases = TrainingCases(PreparedFolder(folder / PREPARED_FOLDER), truths, names, spec.supervision)
    started = time.perf_counter()
    method.fit(cases, MemorySession())
    return time.perf_counter() - started


def judge(method: Method, cases: Sequence[PreparedCase]) -> tuple[list[Prediction], float]:
    """Return the predictions of cases, and the seconds per case."""
    started = time.perf_counter()
    predictions = list(method.predict(cases))
    return predictions, (time.perf_counter() - started) / len(cases)


def compare(name: str, prepared: Prepared, device: torch.device) -> dict[str, Any]:
    """Return the row of one method."""
    spec = methods.get(name)
    there = replace(prepared.resources, device=str(device))
    plan = plan_for(spec, prepared, there)
    folder = PreparedFolder(prepared.derived("testing") / PREPARED_FOLDER)
    cases = [folder.read(case_id) for case_id in prepared.design.cohort("testing").case_ids()]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    method = spec.build(plan, there)
    learning = learn(spec, method, prepared)
    found, seconds = judge(method, cases)
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
    on_cpu = spec.build(plan, replace(there, device="cpu"))
    on_cpu.load_state_dict(method.state_dict())
    expected, cpu_seconds = judge(on_cpu, cases)
    differences = [
        float(np.abs(one.anomaly_map.data - other.anomaly_map.data).max())
        for one, other in zip(found, expected, strict=True)
    ]
    return {
        "method": name,
        "learning s": learning,
        f"{device} s/case": seconds,
        "cpu s/case": cpu_seconds,
        "times faster": cpu_seconds / seconds,
        "peak GiB": peak,
        "largest difference": max(differences),
        "largest value": max(float(each.anomaly_map.data.max()) for each in expected),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("device", help="such as cuda; cpu compares the CPU with itself")
    parser.add_argument("methods", nargs="*", default=methods.available())
    parser.add_argument("-o", default="devices_benchmark", help="working folder")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    device = choose_device(arguments.device)
    prepared = prepare(replace(_COHORT, home=Path(arguments.o)), processes=2)
    rows = [compare(name, prepared, device) for name in arguments.methods]
    print(f"every method on {device} and on the CPU; phantom data")
    print(format_table(rows))


if __name__ == "__main__":
    main()
