"""A folder of scans → prepared and encoded cases, ready to be scored."""

from __future__ import annotations

import logging
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brainad.arrays import ArrayFolder
from brainad.case import Case
from brainad.errors import DataError, UsageError
from brainad.files import remove_leftovers
from brainad.input_folder import InputFolder, find_cases
from brainad.method import Scope
from brainad.pipeline.cases import Failure, Outcome, Share, Watch
from brainad.pipeline.detect import Detector, PredictionFolder
from brainad.pipeline.executors import IN_PROCESS, Executor
from brainad.pipeline.inspect import (
    Inspection,
    inspect_cases,
    log_contradictions,
    log_problems,
)
from brainad.pipeline.model import Model
from brainad.pipeline.prepare import Preparer, planned_case
from brainad.plan import Fingerprint
from brainad.prepared import PreparedFolder

_log = logging.getLogger(__name__)

ModelChoice = Callable[[Fingerprint], Model]


@dataclass(frozen=True)
class FolderOptions:
    """How a folder is worked through.

    Args:
        share: which part of the case list this run works on.
        overwrite: redo the finished work of this part.
        executor: where the work is done.
        device: where preprocessing networks compute.
        channel_map: channel to the end of its file names.
        channel_names: file number to channel, where no dataset.json beside the scans says it.
        prepared: prepared cases of a dataset, used where they fit.
        fail_fast: stop at the first failed case; all cases are checked before that.
    """

    share: Share = field(default_factory=Share)
    overwrite: bool = False
    executor: Executor = IN_PROCESS
    device: str = "cpu"
    channel_map: Mapping[str, str] = field(default_factory=dict)
    channel_names: Mapping[int, str] = field(default_factory=dict)
    prepared: Path | None = None
    fail_fast: bool = False


class FolderRun:
    """Works through a folder stage by stage; what is finished is kept and not done again.

    Args:
        source: folder with the scans.
        work: folder for intermediate results.
        options: share and resources.
        watch: shows progress.

    Raises:
        UsageError: no scans are found.
    """

    def __init__(self, source: Path, work: Path, options: FolderOptions, watch: Watch) -> None:
        self.found: InputFolder = find_cases(source, options.channel_names, options.channel_map)
        self.failures: dict[str, Failure] = {
            case_id: Failure.of("find", error) for case_id, error in self.found.failures.items()
        }
        self.seconds: dict[str, float] = {}
        self.case_seconds: defaultdict[str, float] = defaultdict(float)
        self._work = work
        self._options = options
        self._watch = watch

    @property
    def case_ids(self) -> list[str]:
        """Return the names of all cases, usable or not."""
        return sorted({case.case_id for case in self.found.cases} | set(self.found.failures))

    @property
    def own_ids(self) -> list[str]:
        """Return the names of this run's share of all cases, usable or not."""
        return self._options.share.of(self.case_ids)

    def own(self, cases: Sequence[Case]) -> list[Case]:
        """Keep the cases of this run's share."""
        mine = set(self.own_ids)
        return [case for case in cases if case.case_id in mine]

    def inspect(self) -> Inspection:
        """Check and measure all cases.

        Raises:
            DataError: not one can be used, or one cannot and the options say to stop then.
        """
        describe_input(self.found)
        self._options.share.log_if_idle(self.case_ids)
        if self._options.overwrite:
            self._forget(self.own_ids)
        inspection = inspect_cases(
            self.found.cases,
            self._work / "checked",
            watch=self._watch,
            executor=self._options.executor,
        )
        log_problems(inspection.problems)
        self._note({**self.failures, **inspection.failures})
        if not inspection.measured:
            raise self._none_usable()
        return inspection

    def _none_usable(self) -> DataError:
        return DataError(
            f"none of the {len(self.case_ids)} cases can be used",
            str(self.found.folder),
            "see what is wrong with each of them in failed_cases.csv",
        )

    def _forget(self, case_ids: Sequence[str]) -> None:
        for case_id in case_ids:
            shutil.rmtree(self._work / "prepared" / case_id, ignore_errors=True)
            for kind, ending in (
                ("checked", "json"),
                ("encodings", "npz"),
                ("predictions", "npz"),
                ("cases", "json"),
            ):
                (self._work / kind / f"{case_id}.{ending}").unlink(missing_ok=True)

    def usable_cases(self, inspection: Inspection, model: Model) -> list[Case]:
        """Keep the planned channels of usable cases; the others fail.

        Raises:
            DataError: none is left, or a case fails and the options say to stop then.
            UsageError: too few are left.
        """
        cases = []
        for case in self.found.cases:
            if case.case_id in self.failures:
                continue
            measured = inspection.findings[case.case_id].measured
            assert measured is not None, "a case without failure was measured"
            try:
                _require_channel(case, measured.channels, model)
                cases.append(planned_case(case, measured.channels, model.plan.preprocessing))
            except DataError as error:
                self._note({case.case_id: Failure.of("check", error)})
        if not cases:
            raise self._none_usable()
        self.require_enough(model, len(cases))
        return cases

    def require_enough(self, model: Model, cases: int) -> None:
        """Raise a UsageError if a cohort is too small to compare its cases with each other."""
        needed = model.spec.minimum_cases
        if model.method.scope is Scope.COHORT and cases < needed:
            raise UsageError(
                f"{cases} usable {'case' if cases == 1 else 'cases'}; {model.configuration} "
                f"compares scans with each other and needs a cohort of at least {needed} "
                "(30 or more is best)",
                str(self.found.folder),
                "add scans of the same kind, or score against a stored bank of healthy scans: "
                "brainad_build_bank -i HEALTHY -o BANK, then brainad_predict ... -bank BANK",
            )

    def prepare_and_encode(
        self, model: Model, cases: Sequence[Case], inspection: Inspection
    ) -> tuple[Detector, list[Case]]:
        """Prepare and encode this run's share of the cases.

        Returns:
            The detector, and the cases, whoever worked on them, whose present files are prepared
            and encoded as planned.
        """
        borrowed = self._options.prepared
        preparer = Preparer(
            model.plan.preprocessing,
            PreparedFolder(self._work / "prepared"),
            channels=model.method.channels,
            device=self._options.device,
            stripped={each.case_id: each.skull_stripped for each in inspection.measured},
            borrowed=PreparedFolder(borrowed) if borrowed else None,
        )
        mine = self.own(cases)
        self.follow("prepare", len(mine), preparer.prepare(mine, self._options.executor))
        detector = Detector(
            model,
            preparer.prepared,
            ArrayFolder(self._work / "encodings", compressed=False),
            PredictionFolder(ArrayFolder(self._work / "predictions"), preparer.prepared),
            self._options.executor,
            # Parts that end at the same moment score the same cohort, each for itself.
            self._work / "scoring" / f"part_{self._options.share.part:03d}",
        )
        prepared = [case.case_id for case in mine if case.case_id not in self.failures]
        self.follow("encode", len(prepared), detector.encode(prepared))
        ready = [
            case
            for case in cases
            if case.case_id not in self.failures
            and preparer.is_prepared(case)
            and detector.is_encoded(case.case_id)
        ]
        return detector, ready

    def follow(self, stage: str, total: int, outcomes: Iterable[Outcome]) -> None:
        """Run a stage to its end; note failures and seconds.

        Raises:
            DataError: a case failed and the options say to stop then.
        """
        started = time.perf_counter()
        for outcome in self._watch(stage, total, outcomes):
            self.case_seconds[outcome.case_id] += outcome.seconds
            if outcome.failure:
                self._note({outcome.case_id: outcome.failure})
        self.seconds[stage] = time.perf_counter() - started

    def _note(self, failures: Mapping[str, Failure]) -> None:
        self.failures.update(failures)
        if self._options.fail_fast and failures:
            first = next(iter(failures.values()))
            raise DataError(first.message, first.where, first.fix)


def tidy(folder: Path) -> None:
    """Remove what killed runs left half-written below a folder."""
    removed = remove_leftovers(folder)
    if removed:
        _log.info("removed %d unfinished files of earlier runs in %s", removed, folder)


def describe_input(found: InputFolder) -> None:
    """Log how the first files were understood, and what was not."""
    _log.info("%d cases in %s", len(found.cases) + len(found.failures), found.folder)
    for reading in found.readings:
        name = reading.file.relative_to(found.folder)
        _log.info("  %s is channel %s of case %s", name, reading.channel, reading.case_id)
    for warning in found.warnings:
        _log.warning(warning)
    log_contradictions(found.failures)


def _require_channel(case: Case, channels: Sequence[str], model: Model) -> None:
    if not set(channels) & set(model.method.channels):
        needed = " or ".join(model.method.channels)
        raise DataError(
            f"channel {needed} is missing or empty; usable are {', '.join(channels) or 'none'}",
            f"case {case.case_id}",
            f"add the {needed} file, or edit the channel in the plan",
        )
