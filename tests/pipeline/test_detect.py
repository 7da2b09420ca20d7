from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from brainad.arrays import ArrayFolder
from brainad.case import PreparedCase
from brainad.errors import DataError
from brainad.evaluation.calibration import CaseStatistics
from brainad.method import Encoding, Scope, Spread
from brainad.pipeline.detect import Detector, PredictionFolder
from brainad.pipeline.executors import InProcess
from brainad.prediction import Prediction
from brainad.prepared import PreparedFolder, PreparedRecord
from brainad.volume import Volume

NAMES = ("a", "b", "c")


class Toy:
    """Scores a case by its mean; in a cohort, by the distance to the mean of all."""

    def __init__(self, scope: Scope, settings: str = "s") -> None:
        self.scope = scope
        self.channels = ("T1",)
        self.settings = settings
        self.encoded: list[str] = []
        self.scored: list[tuple[str, ...]] = []

    def predict(self, cases: Sequence[PreparedCase]) -> Iterator[Prediction]:
        self.scored.append(tuple(case.case_id for case in cases))
        for case in cases:
            if case.case_id == "bad":
                raise DataError("too dark", "bad", "scan again")
            data = np.where(case.brain, np.float32(case.images["T1"].mean()), np.float32(0))
            yield Prediction(case.case_id, Volume(data, case.placement.working), float(data.max()))

    def fit(self, *_: Any) -> None:
        raise AssertionError

    state_dict = load_state_dict = fit


class EncodingToy(Toy):
    """The same in two steps."""

    @property
    def encoding_key(self) -> str:
        return self.settings

    def encode(self, case: PreparedCase) -> Encoding:
        self.encoded.append(case.case_id)
        if case.case_id == "bad":
            raise DataError("too dark", "bad", "scan again")
        return {"mean": np.array(case.images["T1"].mean())}

    def score(
        self, cases: Sequence[PreparedCase], encodings: Sequence[Encoding], _spread: Spread
    ) -> Iterator[Prediction]:
        for prediction, encoding in zip(self.predict(cases), encodings, strict=True):
            yield replace(prediction, score=float(encoding["mean"]))

    def remember(self, *_: Any) -> None:
        raise AssertionError


@pytest.fixture
def prepared(tmp_path: Path, prepared_case: PreparedCase) -> PreparedFolder:
    folder = PreparedFolder(tmp_path / "prepared")
    for name in NAMES:
        folder.write(
            replace(prepared_case, case_id=name), PreparedRecord(name, ("T1", "FLAIR"), (), {})
        )
    return folder


def detector(prepared: PreparedFolder, method: Toy, model_id: str = "m") -> Detector:
    home = prepared.folder.parent
    return Detector(
        SimpleNamespace(method=method, model_id=model_id),  # type: ignore[arg-type]
        prepared,
        ArrayFolder(home / "encodings"),
        PredictionFolder(ArrayFolder(home / "predictions"), prepared),
        InProcess(),
        home / "scratch",
    )


def test_a_prediction_comes_back_as_it_was(
    prepared: PreparedFolder, prepared_case: PreparedCase, tmp_path: Path
) -> None:
    folder = PredictionFolder(ArrayFolder(tmp_path / "predictions"), prepared)
    assert folder.key("a") is None
    data = np.where(prepared_case.brain, np.float32(0.75), np.float32(0))
    slices = np.arange(8, dtype=np.float32)
    stored = Prediction("a", Volume(data, prepared_case.placement.working), 1.25, slices)
    folder.write(stored, "k", CaseStatistics(1.25, 0.7))
    found = folder.read("a")
    assert folder.key("a") == "k"
    assert np.array_equal(found.anomaly_map.data, data)
    assert found.anomaly_map.data.dtype == np.float32
    assert found.anomaly_map.grid.matches(prepared_case.placement.working, 0)
    assert found.slice_scores is not None
    assert (found.score, found.slice_scores.tolist()) == (1.25, slices.tolist())
    assert folder.statistics("a") == CaseStatistics(1.25, 0.7)
    folder.write(replace(stored, slice_scores=None), "k", CaseStatistics(1.25, 0.7))
    assert folder.read("a").slice_scores is None


def test_encodings_are_kept_until_their_settings_change(
    prepared: PreparedFolder, caplog: pytest.LogCaptureFixture
) -> None:
    method = EncodingToy(Scope.COHORT)
    assert not detector(prepared, method).is_encoded("a")
    with caplog.at_level("INFO", "brainad"):
        for _ in range(2):
            outcomes = list(detector(prepared, method).encode(NAMES))
        assert method.encoded == list(NAMES)
        assert [outcome.seconds for outcome in outcomes] == [0, 0, 0]
        assert caplog.text == ""
        other = EncodingToy(Scope.COHORT, "t")
        list(detector(prepared, other).encode(NAMES))
    assert other.encoded == list(NAMES)
    assert "3 cases are encoded again, e.g. a: settings changed" in caplog.text


def test_a_case_that_was_prepared_anew_is_encoded_anew(
    prepared: PreparedFolder, prepared_case: PreparedCase
) -> None:
    method = EncodingToy(Scope.COHORT)
    list(detector(prepared, method).encode(NAMES))
    record = PreparedRecord("new", ("T1", "FLAIR"), (), {})
    prepared.write(replace(prepared_case, case_id="b"), record)
    list(detector(prepared, method).encode(NAMES))
    assert method.encoded == [*NAMES, "b"]


def test_one_bad_case_does_not_stop_encoding(
    prepared: PreparedFolder, prepared_case: PreparedCase
) -> None:
    record = PreparedRecord("bad", ("T1", "FLAIR"), (), {})
    prepared.write(replace(prepared_case, case_id="bad"), record)
    made = detector(prepared, EncodingToy(Scope.COHORT))
    outcomes = {o.case_id: o.failure for o in made.encode(["a", "bad", "b"])}
    assert [outcomes[name] for name in ("a", "b")] == [None, None]
    failure = outcomes["bad"]
    assert failure is not None
    assert (failure.stage, failure.message) == ("encode", "too dark")
    assert not made.is_encoded("bad")


def test_a_method_that_does_not_encode_needs_prepared_cases_only(prepared: PreparedFolder) -> None:
    made = detector(prepared, Toy(Scope.CASE))
    assert made.is_encoded("a")
    assert not made.is_encoded("absent")
    assert [outcome.failure for outcome in made.encode(["a"])] == [None]
    assert list(made.encodings.folder.parent.glob("encodings/*")) == []


@pytest.mark.parametrize("kind", [Toy, EncodingToy])
def test_each_case_is_scored_alone_and_failures_stay_with_it(
    prepared: PreparedFolder, prepared_case: PreparedCase, kind: type[Toy]
) -> None:
    record = PreparedRecord("bad", ("T1", "FLAIR"), (), {})
    prepared.write(replace(prepared_case, case_id="bad"), record)
    method = Toy(Scope.CASE)
    names = ["a", "bad", "b"]
    outcomes = {o.case_id: o.failure for o in detector(prepared, method).score(names)}
    assert method.scored == [("a",), ("bad",), ("b",)]
    assert [name for name, failure in outcomes.items() if failure] == ["bad"]
    list(detector(prepared, method).score(["a", "b", "c"]))
    assert method.scored[3:] == [("c",)]
    made = kind(Scope.CASE)
    list(detector(prepared, made, "other").encode(NAMES))
    list(detector(prepared, made, "other").score(NAMES))
    assert made.scored == [("a",), ("b",), ("c",)]


def test_a_cohort_is_scored_together_in_a_fixed_order(
    prepared: PreparedFolder, caplog: pytest.LogCaptureFixture
) -> None:
    method = EncodingToy(Scope.COHORT)
    made = detector(prepared, method)
    list(made.encode(NAMES))
    with caplog.at_level("INFO", "brainad"):
        outcomes = list(made.score(["c", "a", "b"]))
        assert [outcome.case_id for outcome in outcomes] == ["a", "b", "c"]
        assert all(outcome.seconds == 0 for outcome in made.score(NAMES))
        assert method.scored == [("a", "b", "c")]
        assert caplog.text == ""
        list(made.score(["a", "b"]))
    assert method.scored[1:] == [("a", "b")]
    assert "2 cases are scored again, e.g. a: cohort changed" in caplog.text


def test_a_cohort_of_which_one_prediction_is_missing_is_scored_again(
    prepared: PreparedFolder,
) -> None:
    method = EncodingToy(Scope.COHORT)
    made = detector(prepared, method)
    list(made.encode(NAMES))
    list(made.score(NAMES))
    (prepared.folder.parent / "predictions" / "b.npz").unlink()
    list(made.score(NAMES))
    assert len(method.scored) == 2


def test_keys_tell_apart_what_predictions_depend_on(prepared: PreparedFolder) -> None:
    cohort, alone = EncodingToy(Scope.COHORT), EncodingToy(Scope.CASE)
    together = detector(prepared, cohort).prediction_keys(NAMES)
    assert len(set(together.values())) == 1
    assert detector(prepared, cohort).prediction_keys(NAMES[:2])["a"] != together["a"]
    assert detector(prepared, cohort).prediction_keys(NAMES[::-1]) == together
    single = detector(prepared, alone).prediction_keys(NAMES)
    assert len(set(single.values())) == 3
    assert detector(prepared, alone).prediction_keys(["a"])["a"] == single["a"]
    assert detector(prepared, alone, "other").prediction_keys(["a"])["a"] != single["a"]
