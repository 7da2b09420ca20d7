"""Parts of a run that several machines share: what each has done, and one result of all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainad.errors import UsageError
from brainad.files import read_json, value_hash, write_json
from brainad.inference.outputs import REPORT_FILE, Marker, OutputFolder
from brainad.pipeline.cases import Share
from brainad.plan import FORMAT_VERSION, Table, from_table, to_table

_log = logging.getLogger(__name__)
_SHOWN = 5


@dataclass(frozen=True)
class Part(Table):
    """What one part of a run worked on.

    Args:
        parts: number of parts.
        part: index of this one, from 0.
        case_ids: the full list that all parts share.
        model_id: what predicted.
        settings: identifies plan, thresholds and smallest size.
    """

    parts: int
    part: int
    case_ids: tuple[str, ...]
    model_id: str
    settings: str

    @property
    def case_list(self) -> str:
        """Identify the full list of cases."""
        return value_hash(self.case_ids)

    @property
    def own(self) -> list[str]:
        """Return the cases of this part."""
        return Share(self.parts, self.part).of(self.case_ids)


@dataclass(frozen=True)
class Merged:
    """All parts together.

    Args:
        markers: one per case that is finished or failed.
        missing_parts: parts that have not come to their end.
        missing_cases: cases that are neither finished nor failed.
        part_count: number of parts.
    """

    markers: Sequence[Marker]
    missing_parts: Sequence[int]
    missing_cases: Sequence[str]
    part_count: int

    @property
    def failed(self) -> list[Marker]:
        """Return the markers of failed cases."""
        return [marker for marker in self.markers if marker.failure]

    @property
    def done(self) -> list[Marker]:
        """Return the markers of cases whose files are all there."""
        missing = set(self.missing_cases)
        return [m for m in self.markers if not m.failure and m.row["case_id"] not in missing]


def begin_part(output: OutputFolder, share: Share) -> None:
    """Forget what an earlier run of this part did, and runs with another number of parts."""
    own = _record_path(output, share)
    for path in own.parent.glob("part_*.json"):
        if path == own or not path.stem.endswith(f"of{share.parts:03d}"):
            path.unlink(missing_ok=True)


def record_part(
    output: OutputFolder, share: Share, case_ids: Sequence[str], model: str, settings: str
) -> None:
    """Write down that this part came to its end, and what it worked on."""
    part = Part(share.parts, share.part, tuple(case_ids), model, settings)
    table = {"format_version": FORMAT_VERSION, **to_table(part)}
    write_json(_record_path(output, share), table)


def _record_path(output: OutputFolder, share: Share) -> Path:
    return _folder(output) / f"part_{share.part:03d}of{share.parts:03d}.json"


def read_parts(output: OutputFolder) -> list[Part]:
    """Read the records of all parts that came to their end, in order."""
    parts = []
    for path in sorted(_folder(output).glob("part_*.json")):
        table = dict(read_json(path))
        if table.pop("format_version", None) != FORMAT_VERSION:
            raise UsageError("a record of another version", str(path), "run this part again")
        parts.append(from_table(Part, table, str(path)))
    return parts


def merge_parts(target: Path) -> Merged:
    """Make the tables of a folder anew from everything that all parts have done.

    Args:
        target: output folder that the parts share.

    Raises:
        UsageError: no part has come to its end, or they had different cases or models.
    """
    output = OutputFolder(target)
    parts = read_parts(output)
    if not parts:
        raise UsageError(
            "no part of a run has come to its end here",
            str(target),
            "give the folder that brainad_predict -o wrote, after its parts have ended",
        )
    _require_one_run(parts, target)
    case_ids = parts[0].case_ids
    markers = output.write_tables(case_ids)
    known = {
        m.row["case_id"] for m in markers if m.failure or output.holds(m.row["case_id"], m.key)
    }
    merged = Merged(
        markers=markers,
        missing_parts=sorted(set(range(parts[0].parts)) - {part.part for part in parts}),
        missing_cases=[name for name in case_ids if name not in known],
        part_count=parts[0].parts,
    )
    _update_report(target, merged)
    return merged


def _require_one_run(parts: Sequence[Part], target: Path) -> None:
    for part in parts[1:]:
        first = parts[0]
        if part.case_list != first.case_list:
            extra = sorted(set(part.case_ids) ^ set(first.case_ids))
            raise UsageError(
                f"parts {first.part} and {part.part} had different lists of cases: "
                f"{len(first.case_ids)} and {len(part.case_ids)}; not in both: "
                f"{', '.join(extra[:_SHOWN])}",
                str(target),
                "run the older part again with the same input folder",
            )
        if (part.model_id, part.settings) != (first.model_id, first.settings):
            raise UsageError(
                f"parts {first.part} and {part.part} used different models, plans or thresholds",
                str(target),
                "run the older part again with the same model, plan and flags",
            )


def _update_report(target: Path, merged: Merged) -> None:
    """Have run_report.json, which every part wrote for itself, count all of them."""
    path = target / REPORT_FILE
    if not path.is_file():
        return
    output = OutputFolder(target)
    done = merged.done
    table = dict(read_json(path))
    table["cases"] = {
        "done": len(done),
        "failed": len(merged.failed),
        "pending": len(merged.missing_cases),
    }
    table["seconds_per_case"] = {m.row["case_id"]: m.row["runtime_s"] for m in done}
    table["outputs"] = sorted(
        str(path_of(marker.row["case_id"]).relative_to(target))
        for marker in done
        for path_of in (output.mask_path, output.map_path)
    )
    write_json(path, table)


def _folder(output: OutputFolder) -> Path:
    return output.internal / "parts"
