from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from brainad.case import PreparedCase, Supervision, TrainingCase
from brainad.method import Encoding, EncodingMethod, MethodSpec, Scope, Session
from brainad.plan import MethodPlan
from brainad.prediction import Prediction


class _Whole:
    """A method that does all its work at once."""

    scope = Scope.CASE
    channels = ("T1",)

    def fit(self, _cases: Sequence[TrainingCase], _session: Session) -> None:
        return

    def predict(self, _cases: Sequence[PreparedCase]) -> Iterator[Prediction]:
        return iter(())

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, _state: dict[str, Any]) -> None:
        return


class _Encoding(_Whole):
    """A method whose costly part can be kept."""

    encoding_key = "key"

    def encode(self, _case: PreparedCase) -> Encoding:
        return {}

    def score(
        self, _cases: Sequence[PreparedCase], _encodings: Sequence[Encoding]
    ) -> Iterator[Prediction]:
        return iter(())

    def remember(self, _encodings: Sequence[Encoding]) -> None:
        return


def test_methods_with_a_part_to_keep_are_told_from_the_others() -> None:
    assert isinstance(_Encoding(), EncodingMethod)
    assert not isinstance(_Whole(), EncodingMethod)


def test_scopes_are_plain_words_in_files() -> None:
    assert [str(scope) for scope in Scope] == ["case", "cohort"]


def test_a_spec_cannot_be_changed() -> None:
    spec = MethodSpec(
        name="whole",
        summary="",
        citation="",
        supervision=Supervision.NONE,
        minimum_cases=1,
        plan_type=MethodPlan,
        plan=lambda *_: MethodPlan(0, ()),
        build=lambda *_: _Whole(),
    )
    with pytest.raises(AttributeError, match="cannot assign"):
        spec.minimum_cases = 2  # type: ignore[misc]
