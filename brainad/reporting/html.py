"""One self-contained HTML page about a run: scores, failures, metrics, pictures, reasons."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from brainad import files
from brainad.reporting.page import SCRIPT, STYLE
from brainad.summary import Metrics, Summary

Row = Mapping[str, object]

_NOTICE = (
    "Research software, not a medical device: nothing on this page is a diagnosis or may be "
    "used to make one."
)
_OPTIMISTIC = (
    "Numbers whose name begins with best_ or oracle_ use a threshold chosen on the evaluated "
    "cases themselves and are optimistic."
)


@dataclass(frozen=True, eq=False)
class Report:
    """What the page shows; every value is shown as it is.

    Args:
        title: heading.
        facts: shown below the heading, such as version, configuration, threshold source.
        rows: one per case, with at least `case_id`; columns in the order of the first row.
        failed: one row per failed case.
        summary: metrics, if the truth was known.
        pictures: case_id to PNG, in the order they are to be shown.
        reasons: why the plan is as it is, one sentence each.
    """

    title: str
    facts: Mapping[str, str]
    rows: Sequence[Row]
    failed: Sequence[Row] = ()
    summary: Summary | None = None
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    reasons: Sequence[str] = ()


def write_report(path: Path, report: Report) -> None:
    """Write the page atomically.

    Raises:
        ResourceError: the disk is full.
        UsageError: the folder is not writable.
    """
    files.write_text(path, report_html(report))


def report_html(report: Report) -> str:
    """Return the page: no file, font, script or picture outside of it, all text escaped."""
    title = escape(report.title)
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in report.facts.items()
    )
    sections = "".join(
        [
            _section("Patient scores", _case_table(report)),
            _section("Failed cases", _table(report.failed, {})) if report.failed else "",
            _metrics_section(report.summary) if report.summary else "",
            _section("Highest scores", _gallery(report.pictures)) if report.pictures else "",
            _section("Why the plan is as it is", _list(report.reasons)) if report.reasons else "",
        ]
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{STYLE}</style></head><body>"
        f'<header><h1>{title}</h1><p class="notice">{_NOTICE}</p><dl>{facts}</dl></header>'
        f"<main>{sections}</main><script>{SCRIPT}</script></body></html>\n"
    )


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{heading}</h2>{content}</section>"


def _list(items: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def _text(value: object) -> str:
    """Return escaped text: numbers short, nothing as a dash."""
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def _case_table(report: Report) -> str:
    """Link the cases that have a picture to it."""
    if not report.rows:
        return "<p>No case was finished.</p>"
    anchors = {case_id: f"#{_anchor(n)}" for n, case_id in enumerate(report.pictures)}
    return _table(report.rows, anchors)


def _anchor(number: int) -> str:
    return f"picture-{number}"


def _table(rows: Sequence[Row], anchors: Mapping[str, str]) -> str:
    columns = list(rows[0])
    head = "".join(
        f'<th scope="col"><button type="button">{escape(name)}</button></th>' for name in columns
    )
    body = "".join(
        f"<tr{_row_class(row)}>" + "".join(_cell(row, name, anchors) for name in columns) + "</tr>"
        for row in rows
    )
    return (
        '<div class="wide"><table class="sortable">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row_class(row: Row) -> str:
    if row.get("status") == "failed":
        return ' class="failed"'
    return ' class="anomalous"' if row.get("prediction") in (1, "1") else ""


def _cell(row: Row, name: str, anchors: Mapping[str, str]) -> str:
    value = row.get(name)
    text = _text(value)
    if name == "case_id" and value in anchors:
        return f'<td><a href="{anchors[str(value)]}">{text}</a></td>'
    return (
        f'<td class="number">{text}</td>' if isinstance(value, int | float) else f"<td>{text}</td>"
    )


def _gallery(pictures: Mapping[str, bytes]) -> str:
    figures = []
    for number, (case_id, png) in enumerate(pictures.items()):
        source = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
        name = escape(case_id)
        figures.append(
            f'<figure id="{_anchor(number)}"><img src="{source}" '
            f'alt="Scan of {name} with its anomaly map"><figcaption>{name}</figcaption></figure>'
        )
    return "".join(figures)


def _metrics_section(summary: Summary) -> str:
    counts = ", ".join(f"{number} {name}" for name, number in summary.n_cases.items())
    source = summary.threshold_source
    return _section(
        "Metrics",
        f"<p>Cases: {escape(counts)}. Threshold from: {escape(source)}. {_OPTIMISTIC}</p>"
        '<div class="columns">'
        + _metrics_table("Patients", summary.patient_level, summary.patient_ci95)
        + _metrics_table("Slices", summary.slice_level)
        + _metrics_table("Voxels", summary.pixel_level)
        + "".join(
            _metrics_table(f"{name} cases", group) for name, group in summary.by_group.items()
        )
        + "</div>",
    )


def _metrics_table(
    caption: str, metrics: Metrics, intervals: Mapping[str, tuple[float, float]] | None = None
) -> str:
    intervals = intervals or {}
    rows = []
    for name, value in metrics.items():
        interval = ""
        if name in intervals:
            low, high = intervals[name]
            interval = f" <small>({_text(low)} to {_text(high)})</small>"
        rows.append(
            f'<tr><th scope="row">{escape(name)}</th>'
            f'<td class="number">{_text(value)}{interval}</td></tr>'
        )
    return f"<table><caption>{escape(caption)}</caption><tbody>{''.join(rows)}</tbody></table>"
