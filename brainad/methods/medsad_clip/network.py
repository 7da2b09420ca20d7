"""Everything that learns, and how it hangs together between the two frozen towers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from brainad.encoders.text_tower import TextTower
from brainad.encoders.vision_language import VisionLanguage
from brainad.methods.medsad_clip.adapter import AdapterDesign, Advance, Mix, MultiLevelAdapters
from brainad.methods.medsad_clip.classification import Temperature, similarities
from brainad.methods.medsad_clip.map_maker import probabilities, similarity_logits
from brainad.methods.medsad_clip.prompts import LearnablePrompts, spoken_rows
from brainad.methods.medsad_clip.segmentation_decoder import SegmentationDecoder
from brainad.methods.medsad_clip.token_patch_attention import TokenPatchAttention, fuse
from brainad.plan import Table

Segmentation = Literal["cross_attention", "similarity"]
_SMALLEST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class NetworkSettings(Table):
    """Sizes and designs of the trainable parts.

    Args:
        taps: number of depths of the vision tower that are read.
        shared_width: of the space that text and image share; the text tower's own if aligned.
        adapter_design: ``normalised`` as in the paper, ``plain`` as inherited.
        mix: shares of stream, segmentation adapter and detection adapter after a tap.
        learnable_tokens: per prompt.
        segmentation: ``cross_attention`` and decoder, or ``similarity`` of patches and prompts,
            which is what the method is compared with.
        attention_heads: of the cross-attention.
        rescale_attention: multiply attention by the number of patches.
        decoder_widths: channels of the decoder's hidden layers.
        decoder_groups: of its group norms.
        temperature: factor on the cosines, or where it starts.
        learn_temperature: within 1 to 100.
    """

    taps: int
    shared_width: int
    adapter_design: AdapterDesign
    mix: Mix
    learnable_tokens: int
    segmentation: Segmentation
    attention_heads: int
    rescale_attention: bool
    decoder_widths: tuple[int, int, int]
    decoder_groups: int
    temperature: float
    learn_temperature: bool


@dataclass(frozen=True, eq=False)
class Words:
    """What the text tower says; the same for every image.

    Args:
        prototypes: (2, shared width), normal and abnormal.
        abnormal: (rows, shared width), the abnormal prompt token by token.
    """

    prototypes: Tensor
    abnormal: Tensor


@dataclass(frozen=True, eq=False)
class Output:
    """What the network says about images.

    Args:
        pixel_logits: (images, 2, rows, columns) on a coarse grid.
        cosines: (images, 2) of the class token with both prototypes.
        class_logits: (images, 2).
    """

    pixel_logits: Tensor
    cosines: Tensor
    class_logits: Tensor


class TextProjection(nn.Module):
    """Leads rows of a text tower that knows no images into the shared space."""

    def __init__(self, width: int, shared_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, shared_width)
        self.norm = nn.LayerNorm(shared_width)

    def forward(self, rows: Tensor) -> Tensor:
        """Map (…, width) to (…, shared width)."""
        projected: Tensor = self.norm(self.linear(rows))
        return projected


class MedSADNetwork(nn.Module):
    """The trainable parts between two frozen towers.

    Args:
        settings: sizes and designs.
        anchors: words of the normal and of the abnormal prompt.
        towers: frozen; no part of this module.
    """

    def __init__(
        self, settings: NetworkSettings, anchors: tuple[str, str], towers: VisionLanguage
    ) -> None:
        super().__init__()
        shared, text = settings.shared_width, towers.text
        self._settings = settings
        self._leading = towers.image.leading
        self._end_speaks = text.pooling == "end"
        self.adapters = MultiLevelAdapters(
            settings.taps, towers.image.width, shared, settings.adapter_design, settings.mix
        )
        self.prompts = LearnablePrompts(anchors, settings.learnable_tokens, text.width)
        is_aligned = towers.scale is not None
        self.text_projection = None if is_aligned else TextProjection(text.out_width, shared)
        self.temperature = Temperature(settings.temperature, settings.learn_temperature)
        self.attention: TokenPatchAttention | None = None
        self.decoder: SegmentationDecoder | None = None
        if settings.segmentation == "cross_attention":
            # How many rows the words have is known once the tower, wherever it is, has read them.
            self.to(text.device)
            with torch.no_grad():
                rows = len(self.read(text).abnormal)
            self.attention = TokenPatchAttention(shared, settings.attention_heads)
            self.decoder = SegmentationDecoder(
                shared + rows, settings.decoder_widths, settings.decoder_groups
            )

    def read(self, text: TextTower) -> Words:
        """Encode both prompts."""
        prompts = self.prompts(text)
        tokens, _ = text.encode(prompts)
        if self.text_projection is not None:
            tokens = self.text_projection(tokens)
        normal, abnormal = spoken_rows(tokens, prompts, self._end_speaks)
        return Words(torch.stack([normal.mean(0), abnormal.mean(0)]), abnormal)

    def forward(
        self, tokens: Tensor, advance: Advance, grid: tuple[int, int], words: Words
    ) -> Output:
        """Judge images.

        Args:
            tokens: (images, leading + patches, width) at the first tap, class token first.
            advance: leads to the next tap.
            grid: rows and columns of patches.
            words: from `read`.
        """
        branches = self.adapters(tokens, advance)
        segmentation, detection = branches.means()
        cosines = similarities(detection[:, 0], words.prototypes)
        factor = self.temperature()
        if self.attention is not None and self.decoder is not None:
            patches = segmentation[:, self._leading :]
            seen = self.attention(words.abnormal, patches)
            fused = fuse(patches, seen, self._settings.rescale_attention)
            return Output(self.decoder(fused, grid), cosines, factor * cosines)
        maps = [
            similarity_logits(
                [level[:, self._leading :] for level in levels], words.prototypes, grid, factor
            )
            for levels in (branches.segmentation, branches.detection)
        ]
        return Output(maps[0], cosines, _mean_probability(maps[1]))


def _mean_probability(logits: Tensor) -> Tensor:
    """Return (images, 2) log-probabilities averaged over patches."""
    mean = probabilities(logits, (logits.shape[2], logits.shape[3])).flatten(2).mean(2)
    return functional.log_softmax(torch.log(mean.clamp_min(_SMALLEST_PROBABILITY)), dim=1)
