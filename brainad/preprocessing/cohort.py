"""Compare the cases of a cohort with each other and with the room for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from brainad.plan import CaseFingerprint
from brainad.preprocessing.problem import Problem


def check_cohort(measured: Sequence[CaseFingerprint]) -> list[Problem]:
    """Compare the cases of a cohort: copies, mixed preparation, mixed orientations."""
    copies = defaultdict(list)
    for case in measured:
        copies[case.content_hash].append(case.case_id)
    problems = [
        Problem("warning", names[0], "duplicate", f"same content: {', '.join(names)}", "keep one")
        for names in copies.values()
        if len(names) > 1
    ]
    stripped = sum(case.skull_stripped for case in measured)
    if 0 < stripped < len(measured):
        message = f"{stripped} of {len(measured)} cases are skull-stripped, the others are not"
        fix = "nothing to do: each case is handled as measured; uniform data give better results"
        problems.append(Problem("warning", "", "mixed skull stripping", message, fix))
    orientations = sorted({case.orientation for case in measured})
    if len(orientations) > 1:
        message = f"the files have several orientations: {', '.join(orientations)}"
        fix = "nothing to do: every case is reoriented"
        problems.append(Problem("info", "", "orientation", message, fix))
    return problems


def check_split(patients: Mapping[str, str], test_cases: frozenset[str]) -> list[Problem]:
    """Find patients who are in training and in test.

    Args:
        patients: case to patient, all cases.
        test_cases: cases that are kept for testing.
    """
    trained = {person for case_id, person in patients.items() if case_id not in test_cases}
    return [
        Problem(
            "error",
            case_id,
            "patient in train and test",
            f"patient {person} of test case {case_id} also has training cases",
            "move all cases of this patient to one side in cases.csv",
        )
        for case_id, person in sorted(patients.items())
        if case_id in test_cases and person in trained
    ]


def check_disk(needed_bytes: float, free_bytes: float, folder: Path) -> list[Problem]:
    """Tell whether the prepared data will fit."""
    if needed_bytes <= free_bytes:
        return []
    message = f"{needed_bytes / 1e9:.1f} GB are needed, {free_bytes / 1e9:.1f} GB are free"
    fix = "free some space or choose another folder with brainad_preprocessed"
    return [Problem("error", "", "free disk", message, fix, (folder,))]
