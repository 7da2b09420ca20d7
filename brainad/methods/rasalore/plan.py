"""Settings of rasalore and the rules that choose them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from brainad.encoders.vision_language import EMBEDDED
from brainad.methods.rasalore.augmentation import Freedom
from brainad.methods.rasalore.losses import LossSettings
from brainad.methods.rasalore.mask_making import MaskSettings
from brainad.methods.rasalore.network import NetworkSize
from brainad.methods.rasalore.prompt_tuning import PromptSettings
from brainad.methods.rasalore.stage_one import TuningSettings
from brainad.methods.rasalore.stage_two import TrainingSettings
from brainad.methods.rasalore.views import Views
from brainad.plan import Fingerprint, MethodPlan, PreprocessingPlan, Resources

NO_SEGMENTER = "off"
_SEED = 42
_BRIDGE = "T2"
# Channels that fewer cases have are not learnt.
_LEAST_COVERAGE = 0.5
# Brain pixels of a slice that is looked at, for voxels of 1 mm.
_LEAST_PIXELS = 1000
# Pixels of a pseudo mask that is kept, for voxels of 1 mm.
_LEAST_MASK = 200
_COMPONENT = 50
# On development phantoms masks that were compared with healthy slices of the same height had a
# Dice of 0.65, others 0.27: unhealthy slices are more frequent in the middle of the brain.
_HEALTHY_REACH_MM = 2.5
# On two cohorts of development phantoms masks had a Dice of 0.58 and 0.26 when every slice was
# drawn alone, 0.68 and 0.41 when maps of neighbours were averaged.
_MAPS_MM = 8.0
# On development phantoms the network drew more than 50 pixels in 30% of the slices without a
# lesion; averaged over 2.5 mm in 13%, while lesions were drawn as well as before.
_DRAWING_MM = 2.5
# On two cores stage 2 of this size draws some 20 slices a second (benchmarks/rasalore_phantoms.py);
# the published size needs 81 GFLOP per slice, about 2 s on one core.
_COMPACT = NetworkSize(
    image=64,
    points=16,
    channels=(16, 32, 48, 64),
    refiner=(24, 48),
    activation=(32, 16),
    upsampling=(32, 16),
)
# What a GPU of 8 GiB holds of the published size.
_GPU_BATCH = 16
_CPU_BATCH = 8
# The embedded image encoder comes from a fine-tuned model whose last quarter tells little.
_EMBEDDED_DEPTH = 9
# Blocks before the last that get deep prompts on a CPU.
_PROMPTED_BLOCKS = 3
# A network that draws T2 with confidence hardly learns T1 any more. On development phantoms T1 had
# a Dice of 0.06 after 30 epochs of T2 and 12 of all channels, 0.49 after 3 and 30.
_BRIDGE_SHARE = 0.1
# Prompts that always see whole slices learn them by heart. On development phantoms half of the
# patches and more epochs for the space raised the Dice of pseudo masks from 0.26 to 0.41.
_SHOWN_PATCHES = 0.5
_DEPTH = {EMBEDDED: _EMBEDDED_DEPTH, "clip_vitl14": 24}
_USUAL_DEPTH = 12


@dataclass(frozen=True)
class RasalorePlan(MethodPlan):
    """Settings of rasalore.

    Args:
        channels: image channels; the first is the bridge, on which stage 1 runs and which gives
            the windows, the others learn through it.
        slice_axis: axis of the working grid that slices count along.
        least_pixels: pixels that a slice keeps after the gamma correction, to be looked at.
        least_mask: pixels of a pseudo mask that stage 2 learns from.
        encoder: encoder of images and texts: a CLIP (name, hub name or path), an image and a
            text encoder joined by ``+``.
        prompts: what stage 1 learns.
        tuning: how stage 1 learns.
        masks: how attention becomes pseudo masks.
        medsam: ``off``; ``lite``; or the path or hub name of a SAM: second masks for training.
        network: sizes of the stage-2 network.
        integer_frequencies: point embeddings as released, three quarters of which repeat.
        losses: weights of the stage-2 losses.
        training: how stage 2 learns.
        through_plane: 0, or over how many mm what is drawn in neighbouring slices is averaged.
        batch_size: slices per step in prediction.
    """

    channels: tuple[str, ...]
    slice_axis: Literal[0, 1, 2]
    least_pixels: int
    least_mask: int
    encoder: str
    prompts: PromptSettings
    tuning: TuningSettings
    masks: MaskSettings
    medsam: str
    network: NetworkSize
    integer_frequencies: bool
    losses: LossSettings
    training: TrainingSettings
    through_plane: float
    batch_size: int


def make_plan(
    fingerprint: Fingerprint, preprocessing: PreprocessingPlan, resources: Resources
) -> RasalorePlan:
    """Choose the settings for a dataset and a machine."""
    channels, channel_reason = _choose_channels(fingerprint, preprocessing)
    encoder, encoder_reason = _choose_encoder(resources)
    prompts, tuning, tuning_reason = _choose_tuning(encoder, resources, preprocessing.slice_axis)
    network, training, network_reason = _choose_network(
        resources, preprocessing.slice_axis, channels
    )
    pixels = round(_LEAST_PIXELS / preprocessing.spacing_mm**2)
    return RasalorePlan(
        seed=_SEED,
        reasons=(
            f"channels = {', '.join(channels)}: {channel_reason}",
            f"encoder = {encoder}: {encoder_reason}",
            f"stage 1 = {tuning.epochs} epochs: {tuning_reason}",
            f"stage 2 = {network_reason}",
            f"least brain in a slice = {pixels} pixels: 10 cm², whatever the voxel",
            "medsam = off: masks of a promptable segmenter change little (published ablation)",
        ),
        channels=channels,
        slice_axis=preprocessing.slice_axis,
        least_pixels=pixels,
        least_mask=round(_LEAST_MASK / preprocessing.spacing_mm**2),
        encoder=encoder,
        prompts=prompts,
        tuning=tuning,
        masks=_choose_masks(encoder, preprocessing.spacing_mm),
        medsam=NO_SEGMENTER,
        network=network,
        integer_frequencies=False,
        losses=_choose_losses(encoder),
        training=training,
        through_plane=_DRAWING_MM,
        batch_size=_GPU_BATCH if resources.device != "cpu" else _CPU_BATCH,
    )


def _choose_channels(
    fingerprint: Fingerprint, preprocessing: PreprocessingPlan
) -> tuple[tuple[str, ...], str]:
    """Bridge: T2 where most cases have it, else the first planned; others if common enough."""
    coverage = fingerprint.channel_coverage
    common = [c for c in preprocessing.channels if coverage.get(c, 0) >= _LEAST_COVERAGE]
    common = common or [preprocessing.channels[0]]
    bridge = _BRIDGE if _BRIDGE in common else common[0]
    others = tuple(channel for channel in common if channel != bridge)
    reason = f"{bridge} is the bridge, in {coverage.get(bridge, 0):.0%} of the cases"
    if others:
        reason += "; each other channel is in at least half of them"
    return (bridge, *others), reason


def _choose_encoder(resources: Resources) -> tuple[str, str]:
    if resources.vision_language:
        return resources.vision_language[0], "a CLIP, as published, whose weights are here"
    return EMBEDDED, "no CLIP weights are here; these need nothing but the package index"


def _choose_tuning(
    encoder: str, resources: Resources, slice_axis: int
) -> tuple[PromptSettings, TuningSettings, str]:
    """Follow the release on a GPU; on a CPU fewer slices and frozen blocks that run once."""
    depth = _DEPTH.get(encoder, _USUAL_DEPTH)
    if resources.device != "cpu":
        prompts = PromptSettings(depth=depth)
        tuning = TuningSettings()
        return prompts, tuning, f"as released, on {resources.device}"
    return (
        PromptSettings(depth=depth, first_block=depth - 1 - _PROMPTED_BLOCKS),
        TuningSettings(
            slices_per_class=500,
            space_epochs=160,
            guidance_epochs=4,
            epochs=12,
            batch=16,
            optimiser="adam",
            visual_rate=1e-3,
            text_rate=2e-4,
            warm_up=1,
            views=Views(mirrored=slice_axis != 0, patches=_SHOWN_PATCHES),
        ),
        f"a CPU; all but the last {_PROMPTED_BLOCKS + 1} blocks get no prompts and run only once",
    )


def _choose_masks(encoder: str, spacing_mm: float) -> MaskSettings:
    """CLIP as published; the embedded pair has a finer grid and a class token that wanders."""
    if encoder != EMBEDDED:
        return MaskSettings()
    return MaskSettings(
        attention="evidence",
        against_healthy=_HEALTHY_REACH_MM,
        through_plane=_MAPS_MM,
        without_outliers=True,
        smoothing=0.7,
        inside_brain=True,
        smallest=max(round(_COMPONENT / spacing_mm**2), 1),
    )


def _choose_losses(encoder: str) -> LossSettings:
    """Shrink masks as released, except those of the embedded pair: they are small enough."""
    return LossSettings(overlap="dice" if encoder == EMBEDDED else "tversky")


def _choose_network(
    resources: Resources, slice_axis: int, channels: tuple[str, ...]
) -> tuple[NetworkSize, TrainingSettings, str]:
    if resources.device != "cpu":
        size, why = NetworkSize(), f"the published size, on {resources.device}"
        training = TrainingSettings(clip=5.0, healthy_share=0.25)
    else:
        size, why = _COMPACT, "a CPU; the published size takes about 2 s per slice and core"
        training = TrainingSettings(
            slices=400,
            epochs=30,
            batch=8,
            optimiser="adam",
            rate=1e-3,
            clip=5.0,
            healthy_share=0.25,
            # Prepared heads are upright. Learning any other pose costs time that a CPU has not.
            freedom=Freedom(15, "rows" if slice_axis != 0 else "none"),
        )
    epochs = f"{training.epochs} epochs"
    if len(channels) > 1:
        alone = round(_BRIDGE_SHARE * training.epochs)
        epochs = f"{alone} epochs of {channels[0]}, {training.epochs} of all channels"
        training = replace(training, epochs=alone, channel_epochs=training.epochs)
    return size, training, f"{epochs}, {size.image} pixels, {size.points}² points: {why}"
