"""Prepare many cases and keep them on disk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

from brainad.case import Case
from brainad.errors import DataError
from brainad.files import compose_key, explain_change, stat_signature, value_hash
from brainad.nifti import read_volume
from brainad.pipeline.cases import Outcome, log_repeats, run_cases
from brainad.pipeline.executors import Executor
from brainad.pipeline.resources import require_memory
from brainad.plan import PreprocessingPlan, to_table
from brainad.prepared import PreparedFolder, PreparedRecord
from brainad.preprocessing.prepare import BrainSource, prepare_case


def planned_case(case: Case, usable: Sequence[str], plan: PreprocessingPlan) -> Case:
    """Keep the planned, usable channels; the first of them becomes the reference.

    Raises:
        DataError: the case has none of them.
    """
    images = {c: case.images[c] for c in plan.channels if c in usable}
    if not images:
        raise DataError(
            f"the plan prepares {', '.join(plan.channels)}; usable are {', '.join(usable)}",
            f"case {case.case_id}",
            "add one of these channels, or add the case's own to the plan",
        )
    return replace(case, images=images, reference=next(iter(images)))


@dataclass(frozen=True)
class Preparer:
    """Prepares cases as planned, unless they are there already.

    Args:
        plan: what to do.
        prepared: where prepared cases go.
        channels: channels that are needed; the reference channel is always prepared.
        device: where the skull stripping network computes.
        stripped: case to whether it was measured to be skull-stripped.
        borrowed: prepared cases of a dataset, copied where they fit.
    """

    plan: PreprocessingPlan
    prepared: PreparedFolder
    channels: tuple[str, ...]
    device: str
    stripped: Mapping[str, bool]
    borrowed: PreparedFolder | None = None

    def key(self, case: Case) -> str:
        """Identify plan, program version and input files."""
        files = {channel: stat_signature(path) for channel, path in case.images.items()}
        plan = to_table(self.plan)
        # Says along which axis prepared cases are looked at.
        del plan["slice_axis"]
        return compose_key(
            files=value_hash(sorted(files.items())),
            plan=value_hash(plan),
            program=version("brainad"),
        )

    def prepare(self, cases: Sequence[Case], executor: Executor) -> Iterator[Outcome]:
        """Prepare the cases that are not prepared yet; one outcome per case."""
        todo = []
        for case in cases:
            if self.is_prepared(case):
                yield Outcome(case.case_id)
            else:
                todo.append((case.case_id, case))
        log_repeats("prepared", {case_id: self._reason(case) for case_id, case in todo})
        yield from run_cases("prepare", todo, self._prepare, executor)

    def is_prepared(self, case: Case) -> bool:
        """Tell whether a case is prepared as planned, from the files that it has now."""
        return self._holds(self.prepared, case)

    def _reason(self, case: Case) -> str | None:
        """Say why a case that is here has to be prepared again; None if it is not here."""
        record = self.prepared.record(case.case_id)
        if record is None:
            return None
        key = self.key(case)
        return "channels are missing" if record.key == key else explain_change(record.key, key)

    def _needed(self, case: Case) -> tuple[str, ...]:
        return tuple(c for c in case.images if c in self.channels or c == case.reference)

    def _holds(self, folder: PreparedFolder, case: Case) -> bool:
        record = folder.record(case.case_id)
        return (
            record is not None
            and record.key == self.key(case)
            and set(self._needed(case)) <= set(record.channels)
        )

    def _brain_source(self, case: Case) -> BrainSource:
        if self.plan.brain_mask != "per-case":
            return self.plan.brain_mask
        return "nonzero" if self.stripped[case.case_id] else "hd-bet"

    def _prepare(self, case: Case) -> None:
        if self.borrowed and self._holds(self.borrowed, case):
            record = self.borrowed.record(case.case_id)
            assert record is not None, "the folder holds the case"
            self.prepared.write(self.borrowed.read(case.case_id), record)
            return
        require_memory(case)
        started = time.perf_counter()
        channels = self._needed(case)
        outcome = prepare_case(
            case.case_id,
            {channel: read_volume(case.images[channel]) for channel in channels},
            case.reference,
            self.plan,
            self._brain_source(case),
            self.device,
        )
        measures = {**outcome.measures, "total_s": time.perf_counter() - started}
        self.prepared.write(
            outcome.case, PreparedRecord(self.key(case), channels, outcome.warnings, measures)
        )
