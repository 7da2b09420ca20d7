"""Settings of codegraph3d and the rules that choose them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from brainad.encoders.choice import (
    DEFAULT_ENCODER,
    choose_encoder,
    encoder_depth,
    encoder_size,
)
from brainad.methods.codegraph3d.graph import GraphSettings
from brainad.methods.codegraph3d.patient_score import PatientRule
from brainad.methods.codegraph3d.scoring import ScoreSettings
from brainad.methods.codegraph3d.tokens import TokenSettings, View
from brainad.plan import Fingerprint, MethodPlan, PreprocessingPlan, Resources, require

PATCH = 14
# On development phantoms with metastases of 3 to 8 mm radius, cells of 7 mm found what cells of
# 10 mm missed (voxel AP 0.22 against 0.02); a cell of 7 voxels divides every planned grid.
_CELL = 7
_CELL_REASON = "lesions of a few millimetres disappear in the 10 mm cells of the paper"
_LOCAL_REASON = (
    "cases are registered, so a place is compared with the same place; the published protocol "
    "is global, which takes far longer"
)
# The paper averages over 10 to 30 % of the cohort. Local matching offers few candidates per
# volume, and the nearest ones say most: voxel AP 0.31 with 10 %, 0.22 with 30 % (same phantoms).
_NEAREST_SHARE = (0.0, 0.1)
MINIMUM_COHORT = 5
_LARGEST_COUNT = 100_000
VIEWS: tuple[View, ...] = ("axial", "coronal", "sagittal")

_SEED = 42
_PROJECTED_WIDTH = 128
# Scores are stable for chunks of 30 volumes and more (paper, table of chunk sizes).
_SMALLEST_CHUNK = 30
_TOKEN_COPIES = 3
# Smaller blocks are mostly read and laid out, larger ones leave little to spread.
_SMALLEST_BLOCK, _LARGEST_BLOCK = 4, 32
_GIB = 1024**3
# Seconds per slice of 16 x 16 patches on one CPU core, measured by benchmarks/encoder_speed.py;
# the larger ones scaled by their operation counts (46, 162 and 590 against 12 GFLOP).
_CPU_SECONDS: Mapping[str, float] = {"vits": 0.12, "vitb": 0.46, "vitl": 1.6, "vitg": 5.9}
# A GPU of 2020 or later is at least this many times faster than one core.
_GPU_GAIN = 100.0
_REFERENCE_PATCHES = 16 * 16
# Share of cells that hold brain in a box planned around the template's brain.
_BRAIN_SHARE = 0.45
# Share of slices that hold brain in a box planned around the template's brain.
_FILLED_SHARE = 0.9


@dataclass(frozen=True)
class CoDeGraph3DPlan(MethodPlan):
    """Settings of codegraph3d.

    Args:
        channel: the channel that is compared; channels are never mixed in a cohort.
        encoder: name in the weights registry, or the path of a transformers folder.
        cell: voxels along the edge of a cell, which the encoder sees as one patch of 14 pixels.
        layers: transformer blocks that are read, from 1.
        final_norm: apply the encoder's final layer norm to each of them.
        views: slicing directions, in the order of concatenation.
        slices_per_block: encoder images per block of `cell` slices; the paper takes every slice.
        average_neighbours: show the encoder means of neighbouring slices, not single slices.
        neighbourhood: 1, or 3 to average features over the 3 x 3 x 3 cells around.
        projected_width: length of a projected feature.
        min_brain_fraction: keep cells with at least this share of brain; 0 keeps any brain.
        matching: ``global`` (published) or ``local``: only cells within `radius`.
        radius: cells, for local matching.
        nearest_share: part of the sorted distances that is averaged.
        graph: how anomalies shared by several cases are kept from hiding each other; null
            leaves the mutual score alone.
        chunk_size: largest number of cases that are compared with each other.
        block_size: cases in a block; whoever compares two blocks holds both in memory.
        patient_rule: how a case's score follows from its tokens.
        case_smoothing: numbers of most similar cases over which patient scores are averaged
            (RsCIN of the 2D method); empty for none, as published for 3D.
        aligned_corners: corner convention of the upsampling.
    """

    channel: str
    encoder: str
    cell: int
    layers: tuple[int, ...]
    final_norm: bool
    views: tuple[View, ...]
    slices_per_block: int
    average_neighbours: bool
    neighbourhood: Literal[1, 3]
    projected_width: int
    min_brain_fraction: float
    matching: Literal["global", "local"]
    radius: int
    nearest_share: tuple[float, float]
    graph: GraphSettings | None
    chunk_size: int
    block_size: int
    patient_rule: PatientRule
    case_smoothing: tuple[int, ...]
    aligned_corners: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = {
            "cell": self.cell,
            "slices_per_block": self.slices_per_block,
            "projected_width": self.projected_width,
            "block_size": self.block_size,
            "chunk_size": self.chunk_size,
        }
        for name, count in counts.items():
            require(1 <= count <= _LARGEST_COUNT, f"{name} is {count}")
        require(
            self.slices_per_block <= self.cell,
            f"slices_per_block is {self.slices_per_block}, more than the {self.cell} of a cell",
        )
        require(bool(self.views), "views must name at least one")
        require(0 <= self.radius <= _LARGEST_COUNT, f"radius is {self.radius}")
        require(0 <= self.min_brain_fraction <= 1, "min_brain_fraction is not 0 to 1")
        require(all(0 <= x < math.inf for x in self.nearest_share), "nearest_share is not positive")
        require(all(n >= 1 for n in self.case_smoothing), "case_smoothing holds a number below 1")

    @property
    def token_settings(self) -> TokenSettings:
        """Return what turns a volume into tokens."""
        return TokenSettings(
            layers=self.layers,
            patch=self.cell,
            views=self.views,
            slices_per_block=self.slices_per_block,
            average_neighbours=self.average_neighbours,
            neighbourhood=self.neighbourhood,
            projected_width=self.projected_width,
            min_brain_fraction=self.min_brain_fraction,
        )

    @property
    def score_settings(self) -> ScoreSettings:
        """Return how tokens are scored."""
        return ScoreSettings(
            interval=self.nearest_share,
            radius=self.radius if self.matching == "local" else None,
            graph=self.graph,
        )


def make_plan(
    fingerprint: Fingerprint, preprocessing: PreprocessingPlan, resources: Resources
) -> CoDeGraph3DPlan:
    """Choose the settings for a dataset and a machine."""
    encoder, encoder_reason = choose_encoder(resources)
    layers, layer_reason = _choose_layers(encoder)
    per_block, block_reason = _choose_slices(encoder, preprocessing, resources)
    chunk, chunk_reason = _choose_chunk(len(fingerprint.cases), preprocessing, resources)
    block, block_size_reason = _choose_block(preprocessing, resources)
    channel = preprocessing.channels[0]
    coverage = fingerprint.channel_coverage.get(channel, 0)
    return CoDeGraph3DPlan(
        seed=_SEED,
        reasons=(
            f"channel = {channel}: in {coverage:.0%} of the cases, and the most telling of those",
            f"encoder = {encoder}: {encoder_reason}",
            f"layers = {', '.join(map(str, layers))}: {layer_reason}",
            f"cells = {_CELL} voxels: {_CELL_REASON}",
            f"slices per block = {per_block}: {block_reason}",
            f"matching = local: {_LOCAL_REASON}",
            f"chunk size = {chunk}: {chunk_reason}",
            f"block size = {block}: {block_size_reason}",
        ),
        channel=channel,
        encoder=encoder,
        cell=_CELL,
        layers=layers,
        final_norm=False,
        views=VIEWS,
        slices_per_block=per_block,
        average_neighbours=per_block < _CELL,
        neighbourhood=1,
        projected_width=_PROJECTED_WIDTH,
        min_brain_fraction=0.0,
        matching="local",
        radius=1,
        nearest_share=_NEAREST_SHARE,
        graph=GraphSettings(),
        chunk_size=chunk,
        block_size=block,
        patient_rule="max",
        case_smoothing=(),
        aligned_corners=False,
    )


def quarter_layers(depth: int) -> tuple[int, ...]:
    """Return the blocks at the quarters of an encoder's depth, from 1."""
    return tuple(depth * quarter // 4 for quarter in range(1, 5))


def _choose_layers(encoder: str) -> tuple[tuple[int, ...], str]:
    """Read all quarters of the depth, except the last of the embedded encoder."""
    layers = quarter_layers(encoder_depth(encoder))
    if encoder != DEFAULT_ENCODER:
        return layers, "the quarters of the depth, as published"
    return layers[:-1], (
        "quarters of the depth without the last, because the embedded weights come from a "
        "fine-tuned model whose last block tells little (patient AUROC of that layer alone 0.5 "
        "on development phantoms, of the others 0.98)"
    )


def seconds_per_case(
    encoder: str, slices_per_block: int, preprocessing: PreprocessingPlan, resources: Resources
) -> float:
    """Estimate the time to encode one case."""
    x, y, z = (n // _CELL for n in preprocessing.working_shape)
    patches = x * y * z * len(VIEWS)
    slices = slices_per_block * _FILLED_SHARE * patches / _REFERENCE_PATCHES
    speed = resources.threads if resources.device == "cpu" else _GPU_GAIN
    return slices * _CPU_SECONDS[encoder_size(encoder)] / speed


def _choose_slices(
    encoder: str, preprocessing: PreprocessingPlan, resources: Resources
) -> tuple[int, str]:
    """Use as many encoder images per block as the time budget allows."""
    budget = resources.seconds_per_case
    times = {
        count: seconds_per_case(encoder, count, preprocessing, resources)
        for count in range(_CELL, 0, -1)
    }
    count = next((count for count, seconds in times.items() if seconds <= budget), 1)
    return count, (
        f"about {times[count]:.0f} s per case on {resources.device}, budget {budget:.0f} s; "
        f"every slice would take {times[_CELL]:.0f} s"
    )


def _tokens_per_case(preprocessing: PreprocessingPlan) -> float:
    """Estimate how many cells of the working grid hold brain."""
    cells = 1
    for n in preprocessing.working_shape:
        cells *= n // _CELL
    return _BRAIN_SHARE * cells


def _choose_chunk(
    cases: int, preprocessing: PreprocessingPlan, resources: Resources
) -> tuple[int, str]:
    """Compare as many cases at once as half of the memory holds, at least 30."""
    tokens = _tokens_per_case(preprocessing)
    width = len(VIEWS) * _PROJECTED_WIDTH
    # Per case: up to four layers in float32, and one of them twice more, joined and laid out.
    fixed = tokens * width * 4 * (4 + 2)
    # Per pair: distances as float32, three copies while they are sorted.
    per_pair = tokens * 4 * 3
    budget = resources.memory_gib * _GIB / 2
    largest = int((-fixed + (fixed**2 + 4 * per_pair * budget) ** 0.5) / (2 * per_pair))
    largest = max(largest, _SMALLEST_CHUNK)
    if cases <= largest:
        return largest, f"{resources.memory_gib:.0f} GiB hold the whole cohort of {cases}"
    return largest, (
        f"what {resources.memory_gib:.0f} GiB hold; the cohort of {cases} is split at random, "
        "scores are stable for chunks of 30 and more"
    )


def _choose_block(preprocessing: PreprocessingPlan, resources: Resources) -> tuple[int, str]:
    """Compare blocks of which two, with their work space, fill a quarter of the memory."""
    width = len(VIEWS) * _PROJECTED_WIDTH
    # Tokens of one layer in float32, centred, and laid out cell by cell.
    per_case = _tokens_per_case(preprocessing) * width * 4 * _TOKEN_COPIES
    fitting = int(resources.memory_gib * _GIB / 4 / (2 * per_case))
    size = max(_SMALLEST_BLOCK, min(fitting, _LARGEST_BLOCK))
    return size, (
        f"a worker that compares two blocks holds about {2 * size * per_case / _GIB:.1f} GiB of "
        "tokens, however large the cohort is"
    )
