"""Keep the truth of prepared cases beside them, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from brainad.case import PLANES, Case, Labels, labelled_plane
from brainad.errors import DataError
from brainad.files import stat_signature, value_hash
from brainad.nifti import read_grid
from brainad.pipeline.cases import Outcome, attempt
from brainad.prepared import PreparedFolder
from brainad.preprocessing.labels import Expectations, read_lesion
from brainad.preprocessing.truth import place_truth
from brainad.truth import PreparedTruthFolder
from brainad.volume import Grid, Volume


@dataclass(frozen=True)
class TruthKeeper:
    """Places the truth of prepared cases, unless it is there already.

    Args:
        prepared: the prepared cases.
        truths: where their truth goes.
        expected: which mask values are lesions.
        slice_axis: axis of the working grid that slices count along.
    """

    prepared: PreparedFolder
    truths: PreparedTruthFolder
    expected: Expectations
    slice_axis: int

    def keep(self, cases: Sequence[Case]) -> Iterator[Outcome]:
        """Place the truth of prepared cases; one outcome per case."""
        for case in cases:
            key = self._key(case)
            if self.truths.holds(case.case_id, key):
                yield Outcome(case.case_id)
            else:
                yield attempt("truth", case.case_id, partial(self._place, case, key))

    def _key(self, case: Case) -> str:
        record = self.prepared.record(case.case_id)
        assert record is not None, "the case was prepared before"
        anomalous = self.expected.anomaly_labels
        return value_hash(
            [
                record.key,
                self.slice_axis,
                None if anomalous is None else sorted(anomalous),
                _label_table(case.labels),
            ]
        )

    def _place(self, case: Case, key: str) -> None:
        prepared = self.prepared.read(case.case_id)
        self._check_plane(case, prepared.placement.native)
        grids = {name: read_grid(path) for name, path in case.images.items()}
        # Reading a mask compares positions; the images' values play no part.
        blank = np.zeros((), dtype=np.float32)
        images = {n: Volume(np.broadcast_to(blank, grid.shape), grid) for n, grid in grids.items()}
        lesion, _ = read_lesion(case, images, self.expected)
        truth = place_truth(
            case.labels, lesion, prepared.placement, np.asarray(prepared.brain), self.slice_axis
        )
        self.truths.write(case.case_id, key, truth)

    def _check_plane(self, case: Case, grid: Grid) -> None:
        labelled, planned = labelled_plane(case.labels, grid), PLANES[self.slice_axis]
        if labelled not in {None, planned}:
            raise DataError(
                f"its {labelled} slices are labelled, the plan is for {planned} ones",
                case.case_id,
                f'take its rows out of slices.csv; or write "axis": "{labelled}" into the brainad '
                "block of dataset.json, which holds for all cases, and plan again",
            )


def _label_table(labels: Labels) -> dict[str, object]:
    mask = labels.mask
    return {**asdict(labels), "mask": None if mask is None else stat_signature(mask)}
