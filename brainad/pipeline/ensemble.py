"""Average what several models delivered for the same scans."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brainad.errors import DataError, UsageError
from brainad.files import value_hash, write_json
from brainad.inference import scoring
from brainad.inference.outputs import Marker, OutputFolder
from brainad.nifti import read_volume
from brainad.pipeline.cases import Outcome, Watch, attempt, unwatched
from brainad.pipeline.deliver import failure_marker
from brainad.plan import FORMAT_VERSION
from brainad.prediction import Result
from brainad.volume import Volume

RECORD_FILE = "ensemble.json"


@dataclass(frozen=True)
class Member:
    """One folder of an ensemble.

    Args:
        output: of a prediction.
        weight: its share of the average; all shares sum 1.
    """

    output: OutputFolder
    weight: float


def ensemble_folders(
    sources: Sequence[Path],
    target: Path,
    weights: Sequence[float] = (),
    minimum_mm3: float = 0.0,
    watch: Watch = unwatched,
) -> list[Marker]:
    """Average calibrated maps and scores, and decide anew; run it again to continue.

    Calibrated evidence is 0.5 at each model's own threshold, so evidence of different methods
    can be averaged.

    Args:
        sources: output folders of brainad_predict.
        target: output folder.
        weights: one per source; none for equal shares.
        minimum_mm3: components smaller than this are left out of the masks.
        watch: shows progress.

    Returns:
        One marker per case that any source knows.

    Raises:
        UsageError: fewer than two sources, a folder without predictions, or wrong weights.
    """
    members = _members(sources, weights, target)
    output = OutputFolder(target)
    names = sorted({name for member in members for name in member.output.case_ids()})
    outcomes = _average_cases(members, output, names, minimum_mm3)
    for outcome in watch("ensemble", len(names), outcomes):
        if outcome.failure:
            marker = failure_marker(outcome.case_id, outcome.failure, [])
            output.report_failure(outcome.case_id, marker)
    write_json(
        target / RECORD_FILE,
        {
            "format_version": FORMAT_VERSION,
            "members": [
                {"folder": member.output.folder.name, "weight": member.weight} for member in members
            ],
            "minimum_mm3": minimum_mm3,
        },
    )
    return output.write_tables(names)


def _members(sources: Sequence[Path], weights: Sequence[float], target: Path) -> list[Member]:
    if len(sources) < 2:
        raise UsageError(f"{len(sources)} folder given", "-i", "an ensemble needs two or more")
    if weights and (len(weights) != len(sources) or min(weights) <= 0):
        raise UsageError(
            f"{len(weights)} weights for {len(sources)} folders: {list(weights)}",
            "-weights",
            "give one positive number per folder, or none",
        )
    if target.resolve() in [source.resolve() for source in sources]:
        raise UsageError(
            "an input folder is the output folder", str(target), "choose another output folder"
        )
    for source in sources:
        if not OutputFolder(source).case_ids():
            raise UsageError(
                "no predictions here", str(source), "give output folders of brainad_predict"
            )
    shares = np.asarray(weights or [1.0] * len(sources), dtype=float)
    return [
        Member(OutputFolder(source), float(share))
        for source, share in zip(sources, shares / shares.sum(), strict=True)
    ]


def _average_cases(
    members: Sequence[Member], output: OutputFolder, names: Sequence[str], minimum_mm3: float
) -> Iterator[Outcome]:
    for name in names:
        markers = [member.output.marker(name) for member in members]
        keys = [marker.key if marker else "" for marker in markers]
        key = value_hash([keys, [member.weight for member in members], minimum_mm3])
        if output.holds(name, key):
            yield Outcome(name)
        else:
            yield attempt("ensemble", name, _work_on(members, output, name, key, minimum_mm3))


def _work_on(
    members: Sequence[Member], output: OutputFolder, name: str, key: str, minimum_mm3: float
) -> Callable[[], None]:
    def work() -> None:
        markers = [_finished(member, name) for member in members]
        result = _average(members, markers, minimum_mm3)
        like = members[0].output.map_path(name)
        output.deliver(result, like, _marker(key, result, [marker.row for marker in markers]))

    return work


def _finished(member: Member, name: str) -> Marker:
    marker = member.output.marker(name)
    if marker is None or marker.failure or not member.output.map_path(name).is_file():
        state = "failed" if marker and marker.failure else "is not finished"
        raise DataError(
            f"it {state} in {member.output.folder.name}",
            f"case {name}",
            "predict it there first, or leave that folder out",
        )
    return marker


def _average(members: Sequence[Member], markers: Sequence[Marker], minimum_mm3: float) -> Result:
    """Return the weighted mean of maps, slice scores and patient scores, with new masks."""
    name = str(markers[0].row["case_id"])
    maps = [read_volume(member.output.map_path(name)) for member in members]
    weights = [member.weight for member in members]
    grid, axis, count = maps[0].grid, markers[0].slice_axis, len(markers[0].slice_scores)
    for member, volume, marker in zip(members, maps, markers, strict=True):
        same_slices = (marker.slice_axis, len(marker.slice_scores)) == (axis, count)
        if not (volume.grid.matches(grid) and same_slices):
            raise DataError(
                f"its map in {member.output.folder.name} lies on another grid",
                f"case {name}",
                "ensembles are made of predictions of the same scans",
            )
    data = np.zeros(grid.shape, dtype=np.float64)
    for weight, volume in zip(weights, maps, strict=True):
        data += weight * volume.data
    mean = Volume(data.astype(np.float32), grid)
    scores = np.average([marker.slice_scores for marker in markers], axis=0, weights=weights)
    score = float(np.average([marker.row["score"] for marker in markers], weights=weights))
    texts = [str(marker.row["warnings"]) for marker in markers]
    warnings = tuple(dict.fromkeys(text for text in texts if text))
    return Result(
        case_id=name,
        anomaly_map=mean,
        mask=scoring.decide(mean, minimum_mm3),
        score=score,
        score_raw=score,
        slice_axis=axis,
        slice_scores=scores.astype(np.float32),
        warnings=warnings,
    )


def _marker(key: str, result: Result, rows: Sequence[Any]) -> Marker:
    extent = scoring.extent(result.mask, result.slice_scores)
    used = dict.fromkeys(name for row in rows for name in str(row["channels_used"]).split())
    row = {
        "case_id": result.case_id,
        "score": round(result.score, 6),
        "score_raw": result.score_raw,
        "prediction": int(result.score >= scoring.DECISION),
        "threshold": scoring.DECISION,
        "p_value": None,
        "anomalous_volume_mm3": round(extent.anomalous_volume_mm3, 1),
        "largest_component_mm3": round(extent.largest_component_mm3, 1),
        "max_slice_axis": result.slice_axis,
        "max_slice_index": extent.max_slice_index,
        "n_slices": len(result.slice_scores),
        "channels_used": " ".join(used),
        "channels_missing": "",
        "warnings": "; ".join(result.warnings),
        "runtime_s": round(sum(float(row["runtime_s"]) for row in rows), 1),
        "device": rows[0]["device"],
        "model_id": value_hash([row["model_id"] for row in rows]),
        "status": "warning" if result.warnings else "ok",
    }
    slices = tuple(round(float(score), 5) for score in result.slice_scores)
    return Marker(key, row, result.slice_axis, slices, None, None)
