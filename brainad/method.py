"""The contract between the pipeline and a method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from brainad.case import PreparedCase, Supervision, TrainingCase
from brainad.plan import Fingerprint, MethodPlan, PreprocessingPlan, Resources
from brainad.prediction import Prediction

Encoding = Mapping[str, NDArray[Any]]
P = TypeVar("P", bound=MethodPlan)
A = TypeVar("A")


class Spread(Protocol):
    """Runs one pure function over many arguments, here or on other machines, as `map` does.

    Arguments and results may travel, hence they are picklable; results come in order, one by
    one, and the same piece of work may be done twice.
    """

    def __call__(
        self, work: Callable[[A], Encoding], arguments: Sequence[A], /
    ) -> Iterable[Encoding]:
        """Return the results in the order of the arguments."""


class Scope(StrEnum):
    """Whether a prediction depends on the case alone or on the company it keeps."""

    CASE = "case"
    COHORT = "cohort"


@dataclass(frozen=True, eq=False)
class Overlay:
    """A slice with what was drawn on it, for a person to look at.

    Args:
        name: of the slice, fit for a file.
        image: (rows, columns) uint8.
        mask: (rows, columns) bool.
    """

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]


class Session(Protocol):
    """What the pipeline lends a method while it learns: a voice, checkpoints and disk space."""

    def load(self, stage: str) -> dict[str, Any] | None:
        """Return the last checkpoint of a stage, or None if the stage was never saved."""

    def save(self, stage: str, state: Mapping[str, Any]) -> None:
        """Keep a checkpoint: tensors and plain values only; it replaces the last as a whole."""

    def report(self, stage: str, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """Tell how an epoch went.

        Args:
            stage: name of the part of the training.
            epoch: epochs that are finished, from 1.
            epochs: epochs of the stage.
            values: what was measured in this epoch, by name.
        """

    def show(self, name: str, overlays: Iterable[Overlay]) -> None:
        """Let a person look at what the method draws for itself.

        Args:
            name: of what is drawn, fit for a file; it replaces what was shown under it before.
            overlays: taken one by one.
        """

    def array(self, name: str, key: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """Lend an array on disk that is written to in place and survives an interruption.

        Args:
            name: of the array; names may contain slashes.
            key: identifies what is in it; another key gives a fresh array of zeros.
            shape: of the array.
            dtype: as numpy spells it.

        Raises:
            ResourceError: the disk has no room for it.
        """


class Method(Protocol):
    """What every method does."""

    @property
    def scope(self) -> Scope:
        """CASE: same answer alone and in company. COHORT: cases are scored together."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels it can look at; a case without any of them cannot be predicted."""

    def fit(self, cases: Sequence[TrainingCase], session: Session) -> None:
        """Learn from cases that carry the truth of the declared level.

        Raises:
            UsageError: the cases hold too little to learn from.
        """

    def predict(self, cases: Sequence[PreparedCase]) -> Iterator[Prediction]:
        """Yield one prediction per case, in order.

        Raises:
            UsageError: `fit` is needed first, or a cohort is too small.
            DataError: a case lacks what the method needs.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what was learnt: tensors and plain values only."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


@runtime_checkable
class EncodingMethod(Method, Protocol):
    """A method whose costly part is done per case, so that it can be kept and resumed.

    ``predict(cases)`` equals ``score(cases, [encode(case) for case in cases])`` and
    ``fit(cases, session)`` equals ``remember`` of the same encodings.
    """

    @property
    def encoding_key(self) -> str:
        """Identifies the settings and weights that `encode` depends on."""

    def encode(self, case: PreparedCase) -> Encoding:
        """Turn one case into arrays; independent of all other cases."""

    def score(
        self, cases: Sequence[PreparedCase], encodings: Sequence[Encoding], spread: Spread = map
    ) -> Iterator[Prediction]:
        """Yield one prediction per case, in order; `spread` runs the costly pieces."""

    def remember(self, encodings: Sequence[Encoding], spread: Spread = map) -> None:
        """Keep encodings of reference cases, against which later cases are scored alone."""


@dataclass(frozen=True)
class MethodSpec(Generic[P]):
    """All that the pipeline knows about a method.

    Args:
        name: the folder's name.
        summary: one line for users.
        citation: the paper.
        supervision: what the method may see in `fit`.
        minimum_cases: smallest cohort (COHORT scope without reference) it accepts.
        plan_type: the method's own settings.
        plan: the rule that makes them.
        build: constructor; loads nothing but its encoder.
        map_threshold: decision threshold of map and slice scores, where these are probabilities
            that were learnt from the truth; None has it chosen from held-out cases.
    """

    name: str
    summary: str
    citation: str
    supervision: Supervision
    minimum_cases: int
    plan_type: type[P]
    plan: Callable[[Fingerprint, PreprocessingPlan, Resources], P]
    build: Callable[[P, Resources], Method]
    map_threshold: float | None = None
