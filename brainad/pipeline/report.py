"""What a run leaves for people and machines: report.html and run_report.json."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from brainad.files import write_json
from brainad.inference.outputs import REPORT_FILE, Marker, OutputFolder
from brainad.nifti import read_volume
from brainad.pipeline.predict import RunReport
from brainad.plan import FORMAT_VERSION, to_table
from brainad.reporting.figures import CasePicture, overlay_figure
from brainad.reporting.html import Report, write_report
from brainad.summary import Summary
from brainad.volume import Volume

_SHOWN_CASES = 12
_COLUMNS = (
    "case_id", "score", "prediction", "p_value", "anomalous_volume_mm3", "largest_component_mm3",
    "max_slice_index", "channels_used", "warnings", "runtime_s", "status",
)  # fmt: skip


def write_run_report(folder: Path, run: RunReport, options: Mapping[str, Any]) -> None:
    """Write run_report.json: versions, model, options, counts, timing, files and warnings."""
    output = OutputFolder(folder)
    done = [marker for marker in run.markers if not marker.failure]
    write_json(
        folder / REPORT_FILE,
        {
            "format_version": FORMAT_VERSION,
            "notice": "research software, not a medical device",
            "versions": _versions(),
            "configuration": run.model.configuration,
            "model_id": run.model.model_id,
            "options": dict(options),
            "cases": {
                "done": len(done),
                "failed": len(run.failed),
                "pending": len(run.pending),
            },
            "calibration": to_table(run.calibration) if run.calibration else None,
            "seconds_per_stage": {name: round(value, 2) for name, value in run.seconds.items()},
            "seconds_per_case": {m.row["case_id"]: m.row["runtime_s"] for m in done},
            "outputs": sorted(
                str(path(m.row["case_id"]).relative_to(folder))
                for m in done
                for path in (output.mask_path, output.map_path)
            ),
            "warnings": list(run.warnings),
            "reasons": list(run.model.plan.reasons),
        },
    )


def write_companions(folder: Path, run: RunReport, options: Mapping[str, Any], part: str) -> None:
    """Write what nnU-Net users expect beside predictions: dataset.json and the arguments.

    Args:
        folder: output folder of the run.
        run: what became of it.
        options: arguments without input paths, which may hold patient names.
        part: distinguishes the parts of a run that several machines share; empty for one.
    """
    write_json(
        folder / "dataset.json",
        {
            "channel_names": {str(i): name for i, name in enumerate(run.model.method.channels)},
            "labels": {"background": 0, "anomaly": 1},
            "numTraining": 0,
            "file_ending": ".nii.gz",
            "name": run.model.plan.dataset_name,
        },
    )
    write_json(folder / f"predict_from_raw_data_args{part}.json", dict(options))


def _versions() -> dict[str, str]:
    packages = ("brainad", "torch", "transformers", "numpy", "SimpleITK", "nibabel")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def write_html_report(
    folder: Path,
    run: RunReport,
    scans: Mapping[str, Path],
    lesions: Mapping[str, Path | None] | None = None,
    summary: Summary | None = None,
) -> Path:
    """Write report.html with the highest scoring cases shown.

    Args:
        folder: output folder of the run.
        run: what became of it.
        scans: case to the scan that is shown.
        lesions: case to mask with the truth, if it is known.
        summary: metrics, if the truth is known.
    """
    done = sorted(
        (marker for marker in run.markers if not marker.failure),
        key=lambda marker: -float(marker.row["score"]),
    )
    shown = [marker.row["case_id"] for marker in done[:_SHOWN_CASES]]
    pictures = {
        name: overlay_figure(case_picture(OutputFolder(folder), name, scans[name], lesions))
        for name in shown
        if name in scans
    }
    path = folder / "report.html"
    write_report(
        path,
        Report(
            title=f"brainad report: {run.model.plan.dataset_name}",
            facts=_facts(run),
            rows=[{column: marker.row.get(column) for column in _COLUMNS} for marker in done],
            failed=[marker.failure for marker in run.failed if marker.failure],
            summary=summary,
            pictures=pictures,
            reasons=run.model.plan.reasons,
        ),
    )
    return path


def _facts(run: RunReport) -> dict[str, str]:
    return {
        "version": version("brainad"),
        "configuration": run.model.configuration,
        "model": run.model.model_id,
        "cases": f"{len(run.markers) - len(run.failed)} done, {len(run.failed)} failed",
        "thresholds": run.calibration.source if run.calibration else "none yet",
    }


def case_picture(
    output: OutputFolder,
    case_id: str,
    scan: Path,
    lesions: Mapping[str, Path | None] | None = None,
) -> CasePicture:
    """Load what is drawn of one case."""
    truth = (lesions or {}).get(case_id)
    lesion = None
    if truth is not None:
        values = read_volume(truth)
        lesion = Volume(values.data > 0, values.grid)
    marker = output.marker(case_id)
    score = f", score {float(marker.row['score']):.2f}" if marker else ""
    return CasePicture(
        f"{case_id}{score}", read_volume(scan), read_volume(output.map_path(case_id)), lesion
    )


def score_table(markers: Sequence[Marker]) -> list[dict[str, Any]]:
    """Return the rows of the patient table, highest score first, failed cases last."""
    rows = [{column: marker.row.get(column) for column in _COLUMNS} for marker in markers]
    return sorted(rows, key=lambda row: (row["score"] is None, -(row["score"] or 0)))
