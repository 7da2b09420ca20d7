"""Discriminative dual prompt tuning (DDPT): a frozen tower that is asked with prompts (2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from brainad.encoders.vision_language import VisionLanguage
from brainad.methods.rasalore.shared_space import class_centres, cosine_logits, join
from brainad.methods.rasalore.text_prompts import Position, TextPrompts
from brainad.methods.rasalore.visual_prompts import ClassAwarePrompts, DeepPrompts

_TEMPLATE = "a photo of a {} brain."


@dataclass(frozen=True)
class PromptSettings:
    """What is learnt in stage 1, and where.

    Args:
        class_words: of healthy and unhealthy, in this order.
        text_tokens: context vectors of the text prompts.
        position: of the class words.
        visual_tokens: deep prompts per block.
        depth: blocks of the image tower that are used.
        first_block: block, from 0, that gets the first deep prompts; those before it are frozen
            throughout, so they are computed once per slice.
    """

    class_words: tuple[str, str] = ("Healthy", "Unhealthy")
    text_tokens: int = 16
    position: Position = "middle"
    visual_tokens: int = 10
    depth: int = 12
    first_block: int = 0


@dataclass(frozen=True, eq=False)
class Answer:
    """What the prompted tower says about n slices.

    Args:
        features: (n, width) image features in the shared space.
        logits: (n, classes), prompted image and learnt text.
        auxiliary: (n, classes, classes) logits of the class-aware prompts.
        class_attention: (n, classes, tokens + 10) of the class-aware prompts.
        last_tokens: (n, tokens + classes, width) that enter the last block.
    """

    features: Tensor
    logits: Tensor
    auxiliary: Tensor
    class_attention: Tensor
    last_tokens: Tensor


class PromptTuning(nn.Module):
    """The towers with everything that stage 1 learns; the towers themselves stay as they are.

    Args:
        towers: frozen.
        settings: sizes.
    """

    def __init__(self, towers: VisionLanguage, settings: PromptSettings) -> None:
        super().__init__()
        image = towers.image
        self.space = join(towers, settings.class_words)
        self.text_prompts = TextPrompts(
            towers.text, settings.class_words, settings.text_tokens, settings.position
        )
        self.deep_prompts = DeepPrompts(
            settings.depth - 1 - settings.first_block, settings.visual_tokens, image.width
        )
        self.class_prompts = ClassAwarePrompts(
            image.width, self.space.text_width, len(settings.class_words)
        )
        self._towers = towers
        self._settings = settings

    @property
    def first_block(self) -> int:
        """Number of frozen blocks before the first prompt."""
        return self._settings.first_block

    @property
    def leading(self) -> int:
        """Number of tokens before the patches."""
        return self._towers.image.leading

    @property
    def patch_size(self) -> int:
        """Pixels along the edge of a patch."""
        return self._towers.image.patch_size

    @property
    def towers(self) -> str:
        """What identifies the frozen towers."""
        return self._towers.identity

    @property
    def device(self) -> torch.device:
        """Where the towers are."""
        return self._towers.image.device

    def hand_written(self) -> Tensor:
        """Return the frozen text features (classes, out_width) of hand-written prompts."""
        words = self._settings.class_words
        return self._towers.text.encode_words([_TEMPLATE.format(word) for word in words])

    def class_centres(self) -> Tensor:
        """Return the frozen features (classes, out_width) of several sentences per class."""
        return class_centres(self._towers, self._settings.class_words)

    def text_features(self) -> Tensor:
        """Return the learnt text features in the shared space, not normalised."""
        return self.space.text(self.text_prompts())

    def enter(self, images: Tensor) -> Tensor:
        """Return the tokens that enter the first prompted block; nothing learnt is involved.

        Args:
            images: (n, height, width) or (n, 3, height, width) in 0 … 1.
        """
        with torch.no_grad():
            image = self._towers.image
            return image.run(image.embed(images), 0, self._settings.first_block)

    def unprompted(self, tokens: Tensor) -> Tensor:
        """Return the frozen class features (n, out_width) without any prompt.

        Args:
            tokens: from `enter`.
        """
        with torch.no_grad():
            image = self._towers.image
            tokens = image.run(tokens, self._settings.first_block, self._settings.depth)
            features: Tensor = image.head(tokens[:, 0])
        return features

    def ask(self, tokens: Tensor, text: Tensor) -> Answer:
        """Run the prompted blocks.

        Args:
            tokens: from `enter`.
            text: from `text_features`.
        """
        first, last = self._settings.first_block, self._settings.depth - 1
        blocks = self._towers.image.blocks
        for number, block in enumerate(blocks[first:last]):
            tokens = self.deep_prompts(block, number, tokens)
        prompts, auxiliary, attention = self.class_prompts(tokens, text)
        tokens = torch.cat([tokens, prompts], 1)
        features = self._finish(tokens)
        logits = cosine_logits(self.space, features, text)
        return Answer(features, logits, auxiliary, attention, tokens)

    def _finish(self, tokens: Tensor) -> Tensor:
        """Run the last block and return image features in the shared space."""
        image = self._towers.image
        last = image.blocks[self._settings.depth - 1]
        return self.space.image(image.head(last(tokens)[:, 0]))

    def class_token_attention(self, answer: Answer) -> Tensor:
        """Return what the class token pays to each patch in the last block: (n, patches)."""
        leading = self.leading
        block = self._towers.image.blocks[self._settings.depth - 1]
        rows = block.attention(answer.last_tokens)[:, 0]
        return rows[:, leading : rows.shape[1] - len(self._settings.class_words)]

    def class_difference(self, answer: Answer) -> Tensor:
        """Return where the unhealthy class looks more than the healthy one: (n, patches)."""
        leading = self.leading
        patches = answer.last_tokens.shape[1] - len(self._settings.class_words)
        attention = answer.class_attention[:, :, leading:patches]
        return (attention[:, 1] - attention[:, 0]).clamp(min=0)

    def class_evidence(self, answer: Answer, text: Tensor) -> Tensor:
        """Return what each patch adds to the unhealthy class over the healthy one: (n, patches).

        The gradient of the difference of both logits, times what sets a token that enters the
        last block apart from the mean of all patches; what speaks for health counts as 0.
        """
        with torch.enable_grad():
            tokens = answer.last_tokens.detach().requires_grad_()
            logits = cosine_logits(self.space, self._finish(tokens), text.detach())
            (gradient,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), tokens)
        leading = self.leading
        patches = slice(leading, tokens.shape[1] - len(self._settings.class_words))
        unusual = answer.last_tokens[:, patches]
        unusual = unusual - unusual.mean(1, keepdim=True)
        evidence: Tensor = (gradient[:, patches] * unusual).sum(-1).clamp(min=0)
        return evidence.detach()

    def token_lengths(self, answer: Answer) -> Tensor:
        """Return the norms of the patch tokens that enter the last block: (n, patches)."""
        leading = self.leading
        patches = answer.last_tokens.shape[1] - len(self._settings.class_words)
        lengths: Tensor = answer.last_tokens[:, leading:patches].norm(dim=-1)
        return lengths


def trainable_groups(tuning: PromptTuning) -> dict[str, Sequence[nn.Parameter]]:
    """Return what is learnt, in the groups that get rates of their own."""
    return {
        "visual": [*tuning.deep_prompts.parameters(), *tuning.class_prompts.parameters()],
        "text": list(tuning.text_prompts.parameters()),
        "space": list(tuning.space.parameters()),
    }
