import base64
import math
from html.parser import HTMLParser
from pathlib import Path

import pytest

from brainad.reporting.html import Report, report_html, write_report
from brainad.summary import Summary

EVIL = "<script>alert('x')</script>\" & co"
PNG = b"\x89PNG not really"


class Elements(HTMLParser):
    """Collects every element with its attributes, the text of cells, and checks nesting."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.cells[-1] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def make_report() -> Report:
    summary = Summary(
        cases=(),
        foreground_mean={},
        n_cases={"expected": 3, "evaluated": 2, "missing": 0, "failed": 1},
        patient_level={"AUROC": 0.875, "F1": math.nan},
        slice_level={"AUROC": 0.5},
        pixel_level={"oracle_dice_mean": 0.25},
        by_group={"healthy": {"FP_mm3": 12.0}, "unhealthy": {"Dice": 0.125}},
        threshold_source="cohort_rule",
        patient_ci95={"AUROC": (0.75, 1.0)},
    )
    return Report(
        title=f"Report {EVIL}",
        facts={"version": "0.1.0", "configuration": EVIL},
        rows=[
            {"case_id": "ill", "score": 0.87654321, "prediction": 1, "status": "ok"},
            {"case_id": EVIL, "score": None, "prediction": None, "status": "failed"},
        ],
        failed=[{"case_id": EVIL, "message": EVIL}],
        summary=summary,
        pictures={"ill": PNG, EVIL: PNG},
        reasons=["spacing 1 mm: it is the median", EVIL],
    )


def test_everything_is_said() -> None:
    page = report_html(make_report())
    elements = Elements(page)
    assert elements.open == []
    assert "not a medical device" in page
    for text in ("0.1.0", "Patient scores", "Failed cases", "spacing 1 mm", "cohort_rule"):
        assert text in page
    for cell in ("0.8765", "0.875 (0.75 to 1)", "oracle_dice_mean", "0.125", "12"):
        assert cell in elements.cells
    assert "3 expected, 2 evaluated, 0 missing, 1 failed" in page


def test_text_is_never_markup() -> None:
    page = report_html(make_report())
    assert "<script>alert" not in page
    assert len(Elements(page).of("script")) == 1
    assert EVIL in Elements(page).cells


def test_the_page_needs_nothing_but_itself() -> None:
    elements = Elements(report_html(make_report()))
    for _, attributes in elements.found:
        for name in ("src", "href"):
            target = attributes.get(name)
            assert target is None or target.startswith(("data:image/png;base64,", "#"))
    assert not elements.of("link")
    policy = [
        attributes["content"] for attributes in elements.of("meta") if "http-equiv" in attributes
    ]
    assert policy and str(policy[0]).startswith("default-src 'none'")


def test_pictures_are_embedded_and_linked_from_their_case() -> None:
    elements = Elements(report_html(make_report()))
    source = elements.of("img")[0]["src"]
    assert source is not None
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == PNG
    anchors = [f"#{figure['id']}" for figure in elements.of("figure")]
    assert [link["href"] for link in elements.of("a")] == anchors == ["#picture-0", "#picture-1"]


def test_rows_show_their_state_and_undefined_numbers_a_dash() -> None:
    elements = Elements(report_html(make_report()))
    classes = [row["class"] for row in elements.of("tr") if "class" in row]
    assert classes == ["anomalous", "failed"]
    assert elements.cells[elements.cells.index("F1") + 1] == "–"


@pytest.mark.parametrize("heading", ["Failed cases", "Metrics", "Highest scores", "Why the plan"])
def test_sections_without_content_are_left_out(heading: str) -> None:
    bare = Report("Run", {}, [])
    assert heading in report_html(make_report())
    assert heading not in report_html(bare)
    assert "No case was finished" in report_html(bare)


def test_the_page_is_written_as_utf8(tmp_path: Path) -> None:
    report = make_report()
    write_report(tmp_path / "report.html", report)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == report_html(report)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
