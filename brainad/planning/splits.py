"""Folds for cross-validation: patients stay together, every fold gets its share of each label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from brainad.errors import UsageError
from brainad.plan import CaseFingerprint

FOLDS = 5
_SEED = 12345


@dataclass(frozen=True)
class Split:
    """One fold.

    Args:
        train: cases to learn from.
        val: cases held out.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]


def make_splits(
    cases: Sequence[CaseFingerprint], folds: int = FOLDS, seed: int = _SEED
) -> tuple[Split, ...]:
    """Deal patients into folds, label by label, so that labels and sizes are balanced.

    A patient with an unhealthy examination counts as unhealthy. With fewer patients than folds
    there is one fold per patient.

    Args:
        cases: names, patients and labels.
        folds: number of folds.
        seed: same seed, same folds.

    Raises:
        UsageError: a single patient cannot be split.
    """
    labels = _patient_labels(cases)
    if len(labels) < 2:
        raise UsageError(
            f"{len(labels)} patients cannot be split into folds",
            "splits_final.json",
            "add patients, or train on all cases with fold `all`",
        )
    rng = np.random.default_rng(seed)
    order: list[str] = []
    for label in sorted(set(labels.values())):
        members = sorted(patient for patient, own in labels.items() if own == label)
        order += [members[int(number)] for number in rng.permutation(len(members))]
    count = min(folds, len(labels))
    fold_of = {patient: number % count for number, patient in enumerate(order)}
    return tuple(
        Split(
            train=tuple(c.case_id for c in cases if fold_of[c.patient_id] != number),
            val=tuple(c.case_id for c in cases if fold_of[c.patient_id] == number),
        )
        for number in range(count)
    )


def _patient_labels(cases: Sequence[CaseFingerprint]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for case in cases:
        known = labels.get(case.patient_id)
        labels[case.patient_id] = "unhealthy" if known == "unhealthy" else case.label
    return labels


def check_splits(splits: Sequence[Split], patients: Mapping[str, str], where: str) -> None:
    """Refuse folds in which a patient is trained on and held out, or that name unknown cases.

    Args:
        splits: the folds.
        patients: case to patient.
        where: the file, for the message.

    Raises:
        UsageError: see above.
    """
    for number, split in enumerate(splits):
        unknown = sorted({*split.train, *split.val} - set(patients))
        if unknown:
            raise UsageError(
                f"fold {number} names cases that are not in the dataset: {', '.join(unknown[:5])}",
                where,
                "correct the file, or delete it to have new folds made",
            )
        both = {patients[case] for case in split.train} & {patients[case] for case in split.val}
        if both:
            raise UsageError(
                f"fold {number} trains on and holds out patient {min(both)}",
                where,
                "keep all cases of a patient on one side",
            )
