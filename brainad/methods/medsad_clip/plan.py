"""Settings of medsad_clip and the rules that choose them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from brainad.encoders.vision_language import EMBEDDED
from brainad.methods.medsad_clip.adapter import NO_WRITE_BACK, Mix
from brainad.methods.medsad_clip.network import NetworkSettings
from brainad.methods.medsad_clip.objective import LossWeights
from brainad.methods.medsad_clip.patient_score import PatientRule
from brainad.plan import Fingerprint, MethodPlan, PreprocessingPlan, Resources

CLIP = "clip_vitl14"
_SEED = 42
_PATCH = 14
_ANCHORS = ("a photo of a normal brain", "a photo of a damaged brain")
# Quarters of the depth, as published for 24 blocks.
_TAPS = {CLIP: (6, 12, 18, 24), EMBEDDED: (3, 6, 9, 12)}
_SHARED_WIDTH = {CLIP: 768, EMBEDDED: 256}
_WRITE_BACK: dict[str, Mix] = {CLIP: (0.8, 0.1, 0.1), EMBEDDED: (0.9, 0.05, 0.05)}
_LONGEST_SIDE = 336
# Seconds per slice of 24 x 24 patches of DINOv2 ViT-S/14 on one CPU core, from 0.12 s for
# 16 x 16 (benchmarks/encoder_speed.py).
_CPU_SECONDS = 0.3
_GPU_GAIN = 100.0
_LEARNING_STEP_MM, _PREDICTING_STEP_MM = 2.5, 2.0
_FILLED_SHARE = 0.8


@dataclass(frozen=True)
class MedSADCLIPPlan(MethodPlan):
    """Settings of medsad_clip.

    Args:
        channel: the channel that is looked at, shown to the tower as grey.
        encoder: name of a vision-language encoder in the weights registry, or a folder.
        slice_axis: axis of the working grid that slices count along, as preprocessing plans it.
        longest_side: pixels along the longer side of a slice, a multiple of the patch size.
        taps: blocks of the vision tower that are read, from 1.
        anchors: words of the normal and of the abnormal prompt.
        network: sizes and designs of the trainable parts.
        losses: weights of the four losses.
        margin: of the contrastive loss.
        gamma: of the focal loss.
        rate: highest rate of Adam, after one epoch of warm-up.
        final_rate: last one, which a cosine leads to.
        betas: of Adam.
        gradient_limit: largest norm of the gradient; larger ones are scaled down.
        text_decay: weight decay of the text projection, where there is one.
        epochs: of training.
        batches_per_epoch: half of each batch shows a lesion.
        batch: slices per batch.
        augmented_views: versions of a slice with random rotation, size, brightness and gamma.
        mirrored: every version also with left and right exchanged.
        learning_step: every how manieth slice of the working grid is learnt from.
        predicting_step: every how manieth slice is predicted; those between are interpolated.
        least_brain: share of the fullest slice's brain area that a slice must have.
        normal_per_abnormal: normal slices kept per slice with a lesion of the same case.
        normal_per_healthy: normal slices kept of a case without lesion.
        smallest_area_mm2: slices with a smaller lesion teach pixels but no slice label; the map
            calls a slice abnormal if it shows as much.
        map_share: weight of the map beside the classification branch in the log-odds of a slice;
            0 is published.
        kept_gb: disk space for what the frozen tower says about the training slices.
        patient_rule: how the patient's score follows from the slices.
        top_share: share of the slices that ``top`` averages.
        slice_smoothing: standard deviation, in predicted slices, along the stack.
    """

    channel: str
    encoder: str
    slice_axis: Literal[0, 1, 2]
    longest_side: int
    taps: tuple[int, ...]
    anchors: tuple[str, str]
    network: NetworkSettings
    losses: LossWeights
    margin: float
    gamma: float
    rate: float
    final_rate: float
    betas: tuple[float, float]
    gradient_limit: float
    text_decay: float
    epochs: int
    batches_per_epoch: int
    batch: int
    augmented_views: int
    mirrored: bool
    learning_step: int
    predicting_step: int
    least_brain: float
    normal_per_abnormal: float
    normal_per_healthy: int
    smallest_area_mm2: float
    map_share: float
    kept_gb: float
    patient_rule: PatientRule
    top_share: float
    slice_smoothing: float

    @property
    def writes_back(self) -> bool:
        """Tell whether adapters change what later blocks see."""
        return self.network.mix != NO_WRITE_BACK


def make_plan(
    fingerprint: Fingerprint, preprocessing: PreprocessingPlan, resources: Resources
) -> MedSADCLIPPlan:
    """Choose the settings for a dataset and a machine."""
    on_gpu = resources.device != "cpu"
    encoder, encoder_reason = _choose_encoder(resources)
    channel = preprocessing.channels[0]
    learning, predicting, step_reason = _choose_steps(encoder, preprocessing, resources)
    masks = sum(case.label_level == "voxel" for case in fingerprint.cases)
    mix = _WRITE_BACK[encoder] if on_gpu else NO_WRITE_BACK
    mix_reason = (
        "adapters write into the trunk, as published"
        if on_gpu
        else "without a GPU nothing is written back, so the frozen tower runs once per slice; this "
        "differs from the paper"
    )
    epochs, batches, batch = (117, 50, 32) if on_gpu else (30, 50, 16)
    rate = 1e-3 if on_gpu else 5e-4
    return MedSADCLIPPlan(
        seed=_SEED,
        reasons=(
            f"channel = {channel}: the most telling of the channels that most cases have",
            f"encoder = {encoder}: {encoder_reason}",
            f"mix = {', '.join(map(str, mix))}: {mix_reason}",
            f"longest side = {_LONGEST_SIDE} pixels: a multiple of the patch size, {_PATCH}; "
            "finer than the published 240, because lesions end between patches",
            f"steps = {learning} and {predicting} slices: {step_reason}",
            f"epochs = {epochs} of {batches} batches of {batch} slices, half of them with a "
            f"lesion: {'the published number of steps' if on_gpu else 'what a CPU can do'}; "
            f"{masks} cases have masks",
        ),
        channel=channel,
        encoder=encoder,
        slice_axis=preprocessing.slice_axis,
        longest_side=_LONGEST_SIDE,
        taps=_TAPS[encoder],
        anchors=_ANCHORS,
        network=_choose_network(encoder, mix),
        losses=LossWeights(),
        margin=0.4,
        gamma=2.0,
        rate=rate,
        final_rate=rate / 20,
        betas=(0.5, 0.999),
        # Without it some thousandth step is so large that the map is empty ever after.
        gradient_limit=1.0,
        text_decay=1e-4,
        epochs=epochs,
        batches_per_epoch=batches,
        batch=batch,
        augmented_views=1,
        # Only slices that show both hemispheres have a left and a right.
        mirrored=preprocessing.slice_axis != 0,
        learning_step=learning,
        predicting_step=predicting,
        least_brain=0.05,
        normal_per_abnormal=2.0,
        normal_per_healthy=24,
        smallest_area_mm2=10.0,
        # On development phantoms: slice AUROC 0.98, the branch alone 0.89, the map alone 0.98;
        # accuracy 0.96, 0.88 and 0.94.
        map_share=0.5,
        kept_gb=8.0,
        patient_rule="top",
        top_share=0.05,
        slice_smoothing=0.0,
    )


def _choose_network(encoder: str, mix: Mix) -> NetworkSettings:
    """Keep the published sizes with CLIP; learn the temperature where the towers are strangers."""
    is_aligned = encoder == CLIP
    return NetworkSettings(
        taps=len(_TAPS[encoder]),
        shared_width=_SHARED_WIDTH[encoder],
        adapter_design="normalised",
        mix=mix,
        learnable_tokens=10,
        segmentation="cross_attention",
        attention_heads=8,
        rescale_attention=True,
        decoder_widths=(256, 128, 64),
        decoder_groups=32,
        temperature=100.0 if is_aligned else 10.0,
        learn_temperature=not is_aligned,
    )


def _choose_encoder(resources: Resources) -> tuple[str, str]:
    """Take the published tower where it is here and can be run, else the embedded pair."""
    if CLIP in resources.vision_language and resources.device != "cpu":
        return CLIP, "its weights are here, and it is the published one"
    state = "this is a CPU" if resources.device == "cpu" else f"{CLIP} is not here"
    return EMBEDDED, f"DINOv2 beside a sentence encoder, because {state}"


def _choose_steps(
    encoder: str, preprocessing: PreprocessingPlan, resources: Resources
) -> tuple[int, int, str]:
    """Skip slices that resemble their neighbours, and more of them if time is short."""
    spacing, axis = preprocessing.spacing_mm, preprocessing.slice_axis
    learning = max(round(_LEARNING_STEP_MM / spacing), 1)
    predicting = max(round(_PREDICTING_STEP_MM / spacing), 1)
    slices = preprocessing.working_shape[axis] * _FILLED_SHARE
    speed = resources.threads if resources.device == "cpu" else _GPU_GAIN
    cost = _CPU_SECONDS * (25.0 if encoder == CLIP else 1.0) / speed
    affordable = math.ceil(slices * cost / resources.seconds_per_case)
    predicting = max(predicting, affordable)
    return (
        learning,
        predicting,
        (
            f"{learning * spacing:.1f} mm while learning, {predicting * spacing:.1f} mm while "
            f"predicting, about {slices / predicting * cost:.0f} s per case of a budget of "
            f"{resources.seconds_per_case:.0f} s"
        ),
    )
