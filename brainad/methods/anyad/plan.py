"""Settings of anyad and the rules that choose them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from brainad.encoders.choice import choose_encoder, encoder_depth, encoder_size
from brainad.methods.anyad.alignment import AlignmentMode
from brainad.methods.anyad.layout import LayoutName
from brainad.methods.anyad.maps import PatientRule
from brainad.methods.anyad.normality import ExpectedBy
from brainad.methods.anyad.objective import LossWeights
from brainad.methods.anyad.subsets import all_subsets
from brainad.plan import Fingerprint, MethodPlan, PreprocessingPlan, Resources

PATCH = 14
_SEED = 3
_WIDTH = {"vits": 384, "vitb": 768, "vitl": 1024, "vitg": 1536}
# Slices below this share of the fullest slice's brain are neither trained on nor looked at.
_LEAST_BRAIN = 0.05
_MINIMUM_SLICES = 16
_FEATURE_GB = 16.0
_SMOOTHING_WITHIN_MM = 3.0
# Share of the working grid's slices that hold enough brain.
_FILLED_SHARE = 0.8
# An axial slice of a planned grid is this much narrower than long.
_SQUARENESS = 0.85


@dataclass(frozen=True)
class _Effort:
    """What a kind of device can afford.

    Args:
        image_size: longer edge of an encoder image.
        slice_mm: distance of the slices that are looked at.
        blocks: of the decoder.
        batch: slices per step.
        tokens: per slice and step; 0 for all.
        iterations: steps of the training.
    """

    image_size: int
    slice_mm: float
    blocks: int
    batch: int
    tokens: int
    iterations: int


# On two cores a step on 128 of about 200 brain tokens takes half of one on all 360 tokens.
_CPU = _Effort(image_size=280, slice_mm=5.0, blocks=4, batch=8, tokens=128, iterations=600)
_GPU = _Effort(image_size=392, slice_mm=2.0, blocks=8, batch=16, tokens=0, iterations=4000)


@dataclass(frozen=True)
class AnyADPlan(MethodPlan):
    """Settings of anyad.

    Args:
        channels: that are looked at; a case may lack any but one of them.
        encoder: name in the weights registry, or the path of a transformers folder.
        layers: transformer blocks that are read, from 1; the first half is the shallow group.
        image_size: longer edge of an encoder image in pixels.
        slice_axis: axis of the working grid that slices are cut along.
        slice_step: voxels from one slice that is looked at to the next.
        least_brain: smallest brain area of such a slice, as a share of the fullest one's.
        minimum_slices: fewer normal slices are refused.
        feature_gb: largest size of the kept features; beyond it, fewer slices are trained on.
        layout: ``per_channel`` encodes channels one by one, ``rgb_slots`` shows up to three
            together (the paper).
        channel_dropout: train on random sets of channels, not on all of them at once.
        alignment: how sets of channels are made alike.
        prototypes: T.
        decoder_blocks: of the decoder, even; the paper has 8.
        loss: weights of the loss terms.
        epochs: passes over the training slices.
        batch_size: slices per step.
        tokens_per_slice: random tokens that show brain, per slice and step; the network then sees
            such tokens only, at test time all of them. 0 for all tokens of the image (the paper).
        learning_rate: highest rate.
        final_rate: last rate.
        weight_decay: of every trained parameter.
        gradient_limit: largest global gradient norm.
        expected_by: what distances are compared with: ``nothing`` (the paper), or what is usual
            at this ``height`` or ``place``.
        place_distance: multiply the evidence by that of the distance to the usual token of the
            place; False is the paper's.
        smoothing_mm: deviations of the Gaussian within a slice and along the slice axis.
        top_share: share of a slice, as area of the fullest one, that its score averages.
        patient_rule: how slice scores become a patient score.
    """

    channels: tuple[str, ...]
    encoder: str
    layers: tuple[int, ...]
    image_size: int
    slice_axis: Literal[0, 1, 2]
    slice_step: int
    least_brain: float
    minimum_slices: int
    feature_gb: float
    layout: LayoutName
    channel_dropout: bool
    alignment: AlignmentMode
    prototypes: int
    decoder_blocks: int
    loss: LossWeights
    epochs: int
    batch_size: int
    tokens_per_slice: int
    learning_rate: float
    final_rate: float
    weight_decay: float
    gradient_limit: float
    expected_by: ExpectedBy
    place_distance: bool
    smoothing_mm: tuple[float, float]
    top_share: float
    patient_rule: PatientRule


def make_plan(
    fingerprint: Fingerprint, preprocessing: PreprocessingPlan, resources: Resources
) -> AnyADPlan:
    """Choose the settings for a dataset and a machine."""
    encoder, encoder_reason = choose_encoder(resources)
    effort = _CPU if resources.device == "cpu" else _GPU
    layers = group_layers(encoder_depth(encoder))
    step = max(round(effort.slice_mm / preprocessing.spacing_mm), 1)
    slices = normal_slices(fingerprint, preprocessing, step)
    steps_per_epoch = max(slices / effort.batch, 1)
    epochs = max(math.ceil(effort.iterations / steps_per_epoch), 1)
    size_gb = feature_size_gb(slices, len(preprocessing.channels), effort.image_size, encoder)
    count = len(all_subsets(preprocessing.channels))
    return AnyADPlan(
        seed=_SEED,
        reasons=(
            f"channels = {', '.join(preprocessing.channels)}: any of their {count} sets may be "
            "there at test time",
            f"encoder = {encoder}: {encoder_reason}",
            f"layers = {', '.join(map(str, layers))}: as published",
            f"image size = {effort.image_size}, slices every {effort.slice_mm:g} mm, "
            f"{effort.blocks} decoder blocks: what {resources.device} can afford",
            f"epochs = {epochs}: about {effort.iterations} steps of {effort.batch} slices out of "
            f"{slices:.0f} normal ones",
            f"kept features = {size_gb:.1f} GB of at most {_FEATURE_GB:g}: one row per slice and "
            "channel, encoded once",
        ),
        channels=preprocessing.channels,
        encoder=encoder,
        layers=layers,
        image_size=effort.image_size,
        slice_axis=preprocessing.slice_axis,
        slice_step=step,
        least_brain=_LEAST_BRAIN,
        minimum_slices=_MINIMUM_SLICES,
        feature_gb=_FEATURE_GB,
        layout="per_channel",
        channel_dropout=True,
        alignment="adapter",
        prototypes=6,
        decoder_blocks=effort.blocks,
        loss=LossWeights(consistency=0.2, alignment=0.2, hardness=3.0),
        epochs=epochs,
        batch_size=effort.batch,
        tokens_per_slice=effort.tokens,
        learning_rate=1e-3,
        final_rate=1e-4,
        weight_decay=1e-4,
        gradient_limit=0.1,
        expected_by="place",
        place_distance=True,
        smoothing_mm=(_SMOOTHING_WITHIN_MM, _token_mm(preprocessing, effort.image_size)),
        top_share=0.01,
        patient_rule="top_three_slices",
    )


def _token_mm(preprocessing: PreprocessingPlan, image_size: int) -> float:
    """Return the edge of a token: neighbouring slices say more about it than it says itself."""
    shape, axis = preprocessing.working_shape, preprocessing.slice_axis
    longest = max(edge for number, edge in enumerate(shape) if number != axis)
    return round(longest * preprocessing.spacing_mm * PATCH / image_size, 1)


def group_layers(depth: int) -> tuple[int, ...]:
    """Return the eight blocks that the paper reads, from 1, scaled to an encoder's depth."""
    first, step = depth // 6, depth // 12
    return tuple(first + step * number + 1 for number in range(8))


def normal_slices(
    fingerprint: Fingerprint, preprocessing: PreprocessingPlan, slice_step: int
) -> float:
    """Estimate how many normal slices there are to learn from."""
    per_case = preprocessing.working_shape[preprocessing.slice_axis] * _FILLED_SHARE / slice_step
    healthy = fingerprint.label_counts.get("healthy", 0)
    ill = len(fingerprint.cases) - healthy
    normal, anomalous = fingerprint.slice_label_counts
    share = normal / (normal + anomalous) if normal + anomalous else 0.0
    return max(per_case * (healthy + ill * share), 1.0)


def feature_size_gb(slices: float, sources: int, image_size: int, encoder: str) -> float:
    """Estimate the size of the kept features: two groups of float16 tokens per image."""
    tokens = (image_size / PATCH) ** 2 * _SQUARENESS
    return slices * sources * 2 * tokens * _WIDTH[encoder_size(encoder)] * 2 / 1e9
