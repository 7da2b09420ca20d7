"""What was measured (`Fingerprint`), what was decided (`Plan`), and their strict JSON."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from brainad.case import Diagnosis, Plane
from brainad.errors import UsageError

FORMAT_VERSION = 1

# No working grid of a head comes near this; one that does would not fit into memory.
_MOST_VOXELS = 500_000_000

LabelLevel = Literal["none", "healthy", "case", "slice", "voxel"]
T = TypeVar("T")


class Table:
    """Marks a dataclass whose JSON form may hold exactly its fields."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


def to_table(value: Any) -> dict[str, Any]:
    """Turn a dataclass into a JSON-able dictionary."""
    table: dict[str, Any] = TypeAdapter(type(value)).dump_python(value, mode="json")
    return table


def from_table(kind: type[T], table: Any, where: str) -> T:
    """Turn a JSON value back into a dataclass.

    Args:
        kind: the dataclass.
        table: what was read from the file.
        where: the file, for the message.

    Raises:
        UsageError: an unknown or missing key, or a value of the wrong type; all are listed.
    """
    try:
        return TypeAdapter(kind).validate_python(table)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in entry['loc']) or 'file'}: {entry['msg']}"
            for entry in error.errors()
        )
        known = ", ".join(getattr(kind, "__dataclass_fields__", {}))
        raise UsageError(
            f"not a valid {kind.__name__}: {problems}", where, f"the known keys are {known}"
        ) from error


def require(holds: bool, message: str) -> None:
    """Raise the error that `from_table` reports with the file if a value makes no sense.

    Raises:
        ValueError: it does not hold.
    """
    if not holds:
        raise ValueError(message)


@dataclass(frozen=True)
class CaseFingerprint(Table):
    """Measurements of one case.

    Args:
        case_id: name of the case.
        patient_id: groups examinations of one person.
        channels: channels that exist and are not constant.
        shape: voxels of the reference channel's file, in the file's axis order.
        spacing_mm: voxel edges in the file's axis order.
        orientation: axis codes of the file, such as ``LPS``.
        extent_mm: size of the field of view along x, y, z.
        brain_fraction: share of voxels that hold brain (or head, if not skull-stripped).
        brain_range_mm: per world axis x, y, z: lowest and highest position that holds
            brain (or head).
        percentiles: per channel, intensities at 0.5, 25, 50, 75 and 99.5 percent inside.
        skull_stripped: measured, not declared.
        in_template_space: measured: already on the template's anatomy.
        label: diagnosis, given or derived.
        label_level: the finest label this case has.
        slice_labels: number of (normal, anomalous) slices that are known.
        labelled_plane: of labels per slice; None without them.
        content_hash: identifies the files' contents.
    """

    case_id: str
    patient_id: str
    channels: tuple[str, ...]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    orientation: str
    extent_mm: tuple[float, float, float]
    brain_fraction: float
    brain_range_mm: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    percentiles: Mapping[str, tuple[float, float, float, float, float]]
    skull_stripped: bool
    in_template_space: bool
    label: Diagnosis
    label_level: LabelLevel
    slice_labels: tuple[int, int]
    labelled_plane: Plane | None
    content_hash: str


@dataclass(frozen=True)
class Fingerprint(Table):
    """Measurements of a dataset; nothing here is a decision.

    Args:
        format_version: of this file.
        created_by: program version.
        input_hash: names, sizes and times of the input files.
        cases: one entry per readable case.
        channel_coverage: share of cases that have each channel.
        label_counts: number of healthy, unhealthy and unknown cases.
        label_level: the finest label that the dataset has.
        slice_label_counts: number of (normal, anomalous) slices that are known.
        skull_stripped_share: share of cases that are skull-stripped.
        template_share: share of cases that are in template space.
    """

    format_version: int
    created_by: str
    input_hash: str
    cases: tuple[CaseFingerprint, ...]
    channel_coverage: Mapping[str, float]
    label_counts: Mapping[Diagnosis, int]
    label_level: LabelLevel
    slice_label_counts: tuple[int, int]
    skull_stripped_share: float
    template_share: float


@dataclass(frozen=True)
class Resources:
    """What the machine offers.

    Args:
        device: ``cpu``, ``cuda:0``, … as torch names it.
        memory_gib: memory that the program may use, container limits respected.
        threads: CPU cores.
        weights: folder with pretrained weights.
        encoders: names of the encoders whose weights are at hand.
        seconds_per_case: time budget for encoding one case.
        vision_language: names of the encoders of images and texts whose weights are at hand.
    """

    device: str
    memory_gib: float
    threads: int
    weights: Path
    encoders: tuple[str, ...]
    seconds_per_case: float
    vision_language: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreprocessingPlan(Table):
    """How raw scans become prepared cases; shared by all methods.

    Args:
        channels: channels that are prepared where they exist, most telling first.
        brain_mask: ``nonzero`` for stripped data, ``hd-bet`` for heads, ``per-case`` for a
            mixture: measured for each case.
        bias_field: correct the bias field (N4).
        coregister: align the other channels rigidly to the reference channel first.
        registration: to the template.
        template: ``mni152`` or the path of a skull-stripped template.
        working_shape: voxels of the working grid along x, y, z.
        spacing_mm: isotropic voxel edge of the working grid.
        landmarks: per channel, the standard intensities of the histogram standardisation.
        slice_axis: axis of the working grid along which 2D methods cut.
    """

    channels: tuple[str, ...]
    brain_mask: Literal["nonzero", "hd-bet", "per-case"]
    bias_field: bool
    coregister: bool
    registration: Literal["none", "rigid", "affine"]
    template: str
    working_shape: tuple[int, int, int]
    spacing_mm: float
    landmarks: Mapping[str, tuple[float, ...]]
    slice_axis: Literal[0, 1, 2]

    def __post_init__(self) -> None:
        require(bool(self.channels), "channels must name at least one")
        require(
            min(self.working_shape) >= 1 and math.prod(self.working_shape) <= _MOST_VOXELS,
            f"working_shape {self.working_shape} is empty or has more than {_MOST_VOXELS} voxels",
        )
        require(0.1 <= self.spacing_mm <= 20, f"spacing_mm is {self.spacing_mm}, not 0.1 to 20")
        for channel, values in self.landmarks.items():
            ascending = all(low <= high for low, high in itertools.pairwise(values))
            finite = all(map(math.isfinite, values))
            require(
                ascending and finite and values[:1] < values[-1:],
                f"landmarks of {channel} must be numbers that rise",
            )


@dataclass(frozen=True)
class MethodPlan(Table):
    """Settings of one method; each method adds its own.

    Args:
        seed: start of every random choice.
        reasons: one sentence per automatic decision.
    """

    seed: int
    reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, f"seed is {self.seed}, not 0 to {2**32 - 1}")


@dataclass(frozen=True)
class Plan(Table):
    """Everything decided before work starts: written by rules, edited by hand if wished.

    Args:
        format_version: of this file.
        dataset_name: which data the plan was made for.
        default_configuration: the method that runs when none is named.
        preprocessing: shared by all configurations.
        configurations: method name to its settings, as a table.
        reasons: one sentence per automatic decision.
        fingerprint_hash: identifies the measurements and declarations behind the decisions.
    """

    format_version: int
    dataset_name: str
    default_configuration: str
    preprocessing: PreprocessingPlan
    configurations: Mapping[str, Mapping[str, Any]]
    reasons: tuple[str, ...]
    fingerprint_hash: str
