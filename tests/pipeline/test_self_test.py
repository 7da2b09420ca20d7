from __future__ import annotations

from dataclasses import replace

import pytest

from brainad.encoders.choice import DEFAULT_ENCODER
from brainad.errors import DataError
from brainad.pipeline import self_test
from brainad.pipeline.cases import Failure
from brainad.pipeline.deliver import failure_marker
from brainad.pipeline.self_test import golden_scores, measure_scores, run_self_test
from brainad.plan import Resources


def test_scores_are_stored_for_the_embedded_encoder_and_one_without_weights() -> None:
    scores = golden_scores()
    assert set(scores) == {"tiny", DEFAULT_ENCODER}
    for healthy in scores.values():
        *others, ill = healthy
        assert len(others) == 4
        assert all(0 < score < ill for score in others)


@pytest.mark.parametrize(("factor", "passes"), [(1.0, True), (1.005, True), (0.98, False)])
def test_rounding_is_allowed_and_other_scores_are_not(
    monkeypatch: pytest.MonkeyPatch, resources: Resources, factor: float, passes: bool
) -> None:
    stored = golden_scores()["tiny"]
    found = (*stored[:-1], factor * stored[-1])
    monkeypatch.setattr(self_test, "measure_scores", lambda *_: found)
    if passes:
        sentence = run_self_test("tiny", resources)
        assert sentence == f"encoder tiny: scores within {abs(factor - 1):.2%} of the stored ones"
    else:
        with pytest.raises(DataError, match=r"scores differ by 2\.0% .* 1% is allowed") as caught:
            run_self_test("tiny", replace(resources, device="cuda:3"))
        assert caught.value.where == "device cuda:3"


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_does_not_pass(
    monkeypatch: pytest.MonkeyPatch, resources: Resources, score: float
) -> None:
    found = (*golden_scores()["tiny"][:-1], score)
    monkeypatch.setattr(self_test, "measure_scores", lambda *_: found)
    with pytest.raises(DataError, match="scores differ"):
        run_self_test("tiny", resources)


def test_a_phantom_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch, resources: Resources
) -> None:
    failure = Failure("encode", "MemoryError", "not enough memory", "x", "more memory")

    class Report:
        failed = (failure_marker("x", failure, []),)

    monkeypatch.setattr(self_test, "write_cohort", lambda _cohort: None)
    monkeypatch.setattr(self_test, "predict_folder", lambda *_: Report())
    with pytest.raises(DataError, match="a phantom failed: not enough memory"):
        measure_scores("tiny", resources)
