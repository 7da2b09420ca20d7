"""Stage 1 as a whole: a space for strangers, then prompts (specification 2.6, 10.7)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from brainad.method import Session
from brainad.methods.rasalore.entering import AS_THEY_ARE, EnteringSlices
from brainad.methods.rasalore.examples import Example
from brainad.methods.rasalore.prompt_losses import Logits, guided_loss, tuning_loss
from brainad.methods.rasalore.prompt_tuning import Answer, PromptTuning, trainable_groups
from brainad.methods.rasalore.schedules import prompt_rate
from brainad.methods.rasalore.shared_space import LearnedSpace, cosine_logits
from brainad.methods.rasalore.views import Views
from brainad.training.loop import Stateful, run_epochs
from brainad.training.sampling import shuffled_batches
from brainad.training.seeding import stream_seed

_log = logging.getLogger(__name__)

SPACE_STAGE = "rasalore_space"
PROMPT_STAGE = "rasalore_prompts"
_SPACE_RATE = 1e-3
_SPACE_BATCH = 64
# Projections follow the prompts slowly.
_SPACE_SHARE = 0.1
_TEXT_WARM_UP = 1
# Above this cosine the two classes cannot be told apart by their texts.
_SIMILAR = 0.5


@dataclass(frozen=True)
class TuningSettings:
    """How stage 1 learns; the defaults are the published ones.

    Args:
        image_size: longer edge in pixels of a slice as the tower sees it.
        slices_per_class: most slices of each class.
        space_epochs: in which only the projections of strangers are learnt.
        guidance_epochs: in which each side learns beside a frozen partner; 0 is the published
            formula, 30 the release.
        epochs: of prompt tuning, guidance included.
        batch: slices per step.
        optimiser: ``sgd`` with momentum, or ``adam``.
        visual_rate: highest rate of the visual prompts.
        text_rate: highest rate of the text prompts.
        warm_up: epochs at a small rate for the visual prompts.
        auxiliary: η, weight of the class-aware loss.
        views: how slices vary meanwhile.
    """

    image_size: int = 224
    slices_per_class: int = 10_000
    space_epochs: int = 5
    guidance_epochs: int = 30
    epochs: int = 60
    batch: int = 32
    optimiser: Literal["sgd", "adam"] = "sgd"
    visual_rate: float = 0.01
    text_rate: float = 0.002
    warm_up: int = 10
    auxiliary: float = 0.3
    views: Views = field(default_factory=lambda: Views(smallest=0.08))


def make_optimiser(
    kind: Literal["sgd", "adam"], groups: Sequence[Sequence[nn.Parameter]], weight_decay: float
) -> torch.optim.Optimizer:
    """Return an optimiser with one group per sequence of parameters, without rates."""
    parameters = [{"params": list(group)} for group in groups if group]
    if kind == "adam":
        return torch.optim.Adam(parameters, lr=0.0)
    return torch.optim.SGD(parameters, lr=0.0, momentum=0.9, weight_decay=weight_decay)


def tune_prompts(
    tuning: PromptTuning,
    slices: EnteringSlices,
    examples: Sequence[Example],
    settings: TuningSettings,
    seed: int,
    session: Session,
) -> None:
    """Learn to tell healthy from unhealthy slices.

    Args:
        tuning: learns in place.
        slices: keep all examples.
        examples: of both classes.
        settings: rates and numbers.
        seed: of the training.
        session: keeps checkpoints.
    """
    lessons = _Lessons(tuning, slices, examples, settings.batch)
    if isinstance(tuning.space, LearnedSpace):
        _find_space(tuning, lessons, settings, seed, session)
    _Tuner(tuning, lessons, settings, seed).run(session)


class _Lessons:
    """The labelled slices by number: tokens, truth, and class features that nobody prompted.

    The last are computed when they are first asked for.
    """

    def __init__(
        self,
        tuning: PromptTuning,
        slices: EnteringSlices,
        examples: Sequence[Example],
        batch: int,
    ) -> None:
        self._tuning = tuning
        self._slices = slices
        self._examples = examples
        self._batch = batch
        self._unprompted: Tensor | None = None
        labels = [int(example.anomalous) for example in examples]
        self.truth = torch.tensor(labels, device=tuning.device)

    def __len__(self) -> int:
        return len(self._examples)

    def tokens(
        self,
        rows: NDArray[np.intp],
        rng: np.random.Generator | None = None,
        views: Views = AS_THEY_ARE,
    ) -> Tensor:
        """See `EnteringSlices.tokens`."""
        return self._slices.tokens([self._examples[row] for row in rows], rng, views)

    def unprompted(self, rows: NDArray[np.intp]) -> Tensor:
        """Return frozen class features (rows, width)."""
        if self._unprompted is None:
            parts = np.array_split(np.arange(len(self)), max(len(self) // self._batch, 1))
            self._unprompted = torch.cat(
                [self._tuning.unprompted(self.tokens(part)) for part in parts]
            )
        return self._unprompted[rows]


def _find_space(
    tuning: PromptTuning,
    lessons: _Lessons,
    settings: TuningSettings,
    seed: int,
    session: Session,
) -> None:
    texts = tuning.class_centres()
    optimiser = torch.optim.Adam(tuning.space.parameters(), lr=_SPACE_RATE)

    def epoch(number: int) -> Mapping[str, float]:
        rng = np.random.default_rng(stream_seed(seed, SPACE_STAGE, number))
        losses = []
        for batch in shuffled_batches(len(lessons), _SPACE_BATCH, rng):
            images = tuning.space.image(lessons.unprompted(batch))
            logits = cosine_logits(tuning.space, images, tuning.space.text(texts))
            loss = F.cross_entropy(logits, lessons.truth[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return {"loss": float(np.mean(losses))}

    parts: Mapping[str, Stateful] = {"space": tuning.space, "optimiser": optimiser}
    run_epochs(SPACE_STAGE, settings.space_epochs, parts, epoch, seed, session)
    with torch.no_grad():
        healthy, unhealthy = F.normalize(tuning.space.text(texts), dim=1)
    cosine = float(healthy @ unhealthy)
    if cosine >= _SIMILAR:
        _log.warning(
            "the texts of both classes are still alike (cosine %.2f, below %.1f is wanted): "
            "give rasalore more labelled slices or more tuning.space_epochs",
            cosine,
            _SIMILAR,
        )


class _Tuner:
    """The second part: prompts, with projections that follow slowly."""

    def __init__(
        self, tuning: PromptTuning, lessons: _Lessons, settings: TuningSettings, seed: int
    ) -> None:
        self._tuning = tuning
        self._lessons = lessons
        self._settings = settings
        self._seed = seed
        self._hand = tuning.hand_written()
        self._groups = {name: group for name, group in trainable_groups(tuning).items() if group}
        self._optimiser = make_optimiser(
            settings.optimiser, list(self._groups.values()), weight_decay=5e-4
        )

    def run(self, session: Session) -> None:
        parts: Mapping[str, Stateful] = {"tuning": self._tuning, "optimiser": self._optimiser}
        epochs = self._settings.epochs
        run_epochs(PROMPT_STAGE, epochs, parts, self._epoch, self._seed, session)

    def _epoch(self, number: int) -> Mapping[str, float]:
        self._set_rates(number)
        rng = np.random.default_rng(stream_seed(self._seed, PROMPT_STAGE, number))
        losses, right = [], []
        for batch in shuffled_batches(len(self._lessons), self._settings.batch, rng):
            tokens = self._lessons.tokens(batch, rng, self._settings.views)
            text = self._tuning.text_features()
            answer = self._tuning.ask(tokens, text)
            loss = self._loss(number, answer, text, batch)
            self._optimiser.zero_grad()
            loss.backward()
            self._optimiser.step()
            losses.append(loss.item())
            correct = answer.logits.argmax(1) == self._lessons.truth[batch]
            right.append(correct.float().mean().item())
        return {"loss": float(np.mean(losses)), "accuracy": float(np.mean(right))}

    def _loss(self, number: int, answer: Answer, text: Tensor, batch: NDArray[np.intp]) -> Tensor:
        truth, weight = self._lessons.truth[batch], self._settings.auxiliary
        if number >= self._settings.guidance_epochs:
            return tuning_loss(answer.logits, answer.auxiliary, truth, weight)
        space = self._tuning.space
        logits = Logits(
            answer.logits,
            cosine_logits(space, space.image(self._lessons.unprompted(batch)), text),
            cosine_logits(space, answer.features, space.text(self._hand)),
        )
        return guided_loss(logits, answer.auxiliary, truth, weight)

    def _set_rates(self, number: int) -> None:
        settings = self._settings
        visual = prompt_rate(number, settings.epochs, settings.visual_rate, settings.warm_up)
        text = prompt_rate(number, settings.epochs, settings.text_rate, _TEXT_WARM_UP)
        rates = {"visual": visual, "text": text, "space": _SPACE_SHARE * visual}
        for name, group in zip(self._groups, self._optimiser.param_groups, strict=True):
            group["lr"] = rates[name]
