"""The output folder: files of one result, commit markers, and tables made from the markers.

A marker is written last and holds the case's table rows, so that the tables can always be
made anew from the markers: by any shard, after any interruption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brainad.errors import UsageError
from brainad.files import read_json, write_csv, write_json
from brainad.nifti import write_volume
from brainad.plan import FORMAT_VERSION
from brainad.prediction import Result

REPORT_FILE = "run_report.json"
PATIENT_COLUMNS = (
    "case_id", "score", "score_raw", "prediction", "threshold", "p_value",
    "anomalous_volume_mm3", "largest_component_mm3", "max_slice_axis", "max_slice_index",
    "n_slices", "channels_used", "channels_missing", "warnings", "runtime_s", "device",
    "model_id", "status",
)  # fmt: skip
SLICE_COLUMNS = ("case_id", "axis", "slice_index", "score", "prediction")
FAILURE_COLUMNS = ("case_id", "stage", "error_type", "message", "what_to_do", "files")


@dataclass(frozen=True)
class Marker:
    """What is known about a finished or failed case.

    Args:
        key: identifies inputs, plan, model and options; another key means out of date.
        row: line of patient_scores.csv.
        slice_axis: array axis of the file that the slice scores count along.
        slice_scores: one per slice, in [0, 1); empty for a failed case.
        failure: line of failed_cases.csv, or None.
        calibration: thresholds that were used, or None for a failed case.
    """

    key: str
    row: Mapping[str, Any]
    slice_axis: int
    slice_scores: tuple[float, ...]
    failure: Mapping[str, str] | None
    calibration: Mapping[str, Any] | None


class OutputFolder:
    """The folder a user named with ``-o``.

    Args:
        folder: created on first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.internal = folder / ".brainad"

    def case_ids(self) -> list[str]:
        """Return the names of all cases that are finished or failed."""
        return sorted(path.stem for path in (self.internal / "cases").glob("*.json"))

    def mask_path(self, case_id: str) -> Path:
        """Return where the mask of a case goes."""
        return self.folder / f"{case_id}.nii.gz"

    def map_path(self, case_id: str) -> Path:
        """Return where the anomaly map of a case goes."""
        return self.folder / "anomaly_maps" / f"{case_id}.nii.gz"

    def marker(self, case_id: str) -> Marker | None:
        """Return the marker of a case, or None if it was never finished or is not readable."""
        path = self._marker_path(case_id)
        if not path.is_file():
            return None
        try:
            table = dict(read_json(path))
            table.pop("format_version")
            return Marker(**{**table, "slice_scores": tuple(table["slice_scores"])})
        except (UsageError, KeyError, TypeError, ValueError):
            # A disk that lost power may keep a name and lose its content.
            return None

    def holds(self, case_id: str, key: str) -> bool:
        """Tell whether a case was finished successfully for this key and its files exist."""
        marker = self.marker(case_id)
        files = self.mask_path(case_id), self.map_path(case_id)
        return (
            marker is not None
            and marker.key == key
            and marker.failure is None
            and all(path.is_file() for path in files)
        )

    def deliver(self, result: Result, like: Path, marker: Marker) -> None:
        """Write map and mask with the header of the input, then the marker."""
        self._marker_path(result.case_id).unlink(missing_ok=True)
        write_volume(self.map_path(result.case_id), result.anomaly_map, like)
        write_volume(self.mask_path(result.case_id), result.mask, like)
        self._write_marker(result.case_id, marker)

    def report_failure(self, case_id: str, marker: Marker) -> None:
        """Record a failed case and remove what an earlier run left of it."""
        self.mask_path(case_id).unlink(missing_ok=True)
        self.map_path(case_id).unlink(missing_ok=True)
        self._write_marker(case_id, marker)

    def _marker_path(self, case_id: str) -> Path:
        return self.internal / "cases" / f"{case_id}.json"

    def _write_marker(self, case_id: str, marker: Marker) -> None:
        write_json(self._marker_path(case_id), {"format_version": FORMAT_VERSION, **asdict(marker)})

    def write_tables(self, case_ids: Sequence[str]) -> list[Marker]:
        """Write the three tables from the markers of these cases and return the markers.

        Cases without a marker (another shard's, not done yet) are left out.
        """
        found = [marker for marker in map(self.marker, case_ids) if marker is not None]
        write_csv(
            self.folder / "patient_scores.csv", PATIENT_COLUMNS, [marker.row for marker in found]
        )
        write_csv(self.folder / "slice_scores.csv", SLICE_COLUMNS, _slice_rows(found))
        failures = [marker.failure for marker in found if marker.failure]
        path = self.folder / "failed_cases.csv"
        if failures:
            write_csv(path, FAILURE_COLUMNS, failures)
        else:
            path.unlink(missing_ok=True)
        return found


def _slice_rows(markers: Sequence[Marker]) -> list[dict[str, object]]:
    return [
        {
            "case_id": marker.row["case_id"],
            "axis": marker.slice_axis,
            "slice_index": index,
            "score": score,
            "prediction": int(score >= marker.row["threshold"]),
        }
        for marker in markers
        for index, score in enumerate(marker.slice_scores)
    ]
