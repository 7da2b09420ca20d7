"""What every method promises, checked for each folder below ``brainad/methods``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from brainad import methods
from brainad.arrays import ArrayFolder
from brainad.case import PreparedCase, Supervision
from brainad.errors import DataError, UsageError
from brainad.files import read_json
from brainad.method import EncodingMethod, Method, MethodSpec, Scope
from brainad.pipeline.dataset import (
    FINGERPRINT_FILE,
    PLAN_FILE,
    PREPARED_FOLDER,
    TRUTH_FOLDER,
    DatasetWork,
)
from brainad.pipeline.planning import read_plan
from brainad.plan import Fingerprint, PreprocessingPlan, Resources, from_table, to_table
from brainad.prediction import Prediction
from brainad.prepared import PreparedFolder
from brainad.training.session import MemorySession
from brainad.training.supervision import supervise
from brainad.truth import PreparedTruth, PreparedTruthFolder

_FITTED = 5


@dataclass(frozen=True, eq=False)
class World:
    """What a method may know: measurements, plan, machine, prepared cases, and their truth."""

    fingerprint: Fingerprint
    preprocessing: PreprocessingPlan
    resources: Resources
    cases: tuple[PreparedCase, ...]
    truths: Mapping[str, PreparedTruth]

    @property
    def lesions(self) -> dict[str, NDArray[np.bool_]]:
        """Lesion masks of the unhealthy cases, on the working grid."""
        return {name: t.lesion for name, t in self.truths.items() if t.lesion is not None}


def load(folder: PreparedFolder, case_id: str) -> PreparedCase:
    """Read a case into memory and forbid writing to it."""
    stored = folder.read(case_id)
    images = {name: np.array(image) for name, image in stored.images.items()}
    brain = np.array(stored.brain)
    for array in (brain, *images.values()):
        array.flags.writeable = False
    return replace(stored, images=images, brain=brain)


@pytest.fixture(scope="module")
def world(phantom_work: DatasetWork, resources: Resources) -> World:
    path = phantom_work.derived / FINGERPRINT_FILE
    fingerprint = from_table(Fingerprint, read_json(path), str(path))
    prepared = PreparedFolder(phantom_work.derived / PREPARED_FOLDER)
    cases = tuple(load(prepared, case.case_id) for case in fingerprint.cases)
    folder = PreparedTruthFolder(ArrayFolder(phantom_work.derived / TRUTH_FOLDER))
    truths = {case.case_id: folder.read(case.case_id) for case in cases}
    plan = read_plan(phantom_work.derived / PLAN_FILE)
    return World(fingerprint, plan.preprocessing, resources, cases, truths)


@pytest.fixture(scope="module", params=methods.available())
def spec(request: pytest.FixtureRequest, quick_planning: None) -> MethodSpec[Any]:  # noqa: ARG001
    return methods.get(request.param)


def build(spec: MethodSpec[Any], world: World, **settings: Any) -> Method:
    plan = spec.plan(world.fingerprint, world.preprocessing, world.resources)
    return spec.build(replace(plan, **settings), world.resources)


def fit(method: Method, spec: MethodSpec[Any], world: World) -> Method:
    """Let a method learn from the first five cases, one of which has a lesion."""
    cases = world.cases[:_FITTED]
    level = spec.supervision
    method.fit(
        [supervise(case, world.truths[case.case_id], level) for case in cases], MemorySession()
    )
    return method


@pytest.fixture(scope="module")
def fitted(spec: MethodSpec[Any], world: World) -> Method:
    return fit(build(spec, world), spec, world)


@pytest.fixture(scope="module")
def predictions(spec: MethodSpec[Any], world: World, fitted: Method) -> list[Prediction]:
    """Predict all cases, after learning if the method cannot do without."""
    ready = build(spec, world) if is_training_free(spec) else fitted
    return list(ready.predict(world.cases))


def is_training_free(spec: MethodSpec[Any]) -> bool:
    return spec.supervision is Supervision.NONE


@pytest.fixture(scope="module")
def later(fitted: Method, world: World) -> list[Prediction]:
    """Predict the cases that were not learnt from."""
    return list(fitted.predict(world.cases[_FITTED:]))


def same(one: Prediction, other: Prediction) -> bool:
    return (
        one.case_id == other.case_id
        and one.score == other.score
        and one.anomaly_map.data.tobytes() == other.anomaly_map.data.tobytes()
    )


def test_the_plan_is_pure_and_survives_json(spec: MethodSpec[Any], world: World) -> None:
    before = to_table(world.fingerprint), to_table(world.preprocessing)
    plan = spec.plan(world.fingerprint, world.preprocessing, world.resources)
    assert plan == spec.plan(world.fingerprint, world.preprocessing, world.resources)
    assert (to_table(world.fingerprint), to_table(world.preprocessing)) == before
    table = json.loads(json.dumps(to_table(plan)))
    assert from_table(spec.plan_type, table, "a test") == plan
    assert all(isinstance(reason, str) and reason for reason in plan.reasons)


def test_the_name_is_the_folder(spec: MethodSpec[Any]) -> None:
    assert methods.get(spec.name) is spec
    assert spec.summary
    assert spec.citation
    assert spec.minimum_cases >= 1


def test_each_case_is_answered_once_in_order(predictions: list[Prediction], world: World) -> None:
    assert [prediction.case_id for prediction in predictions] == [c.case_id for c in world.cases]
    for prediction, case in zip(predictions, world.cases, strict=True):
        data = prediction.anomaly_map.data
        assert prediction.anomaly_map.grid.matches(case.placement.working, 0)
        assert data.dtype == np.float32
        assert np.isfinite(data).all()
        assert np.isfinite(prediction.score)
        assert (data[~case.brain] == 0).all()
        assert (data[case.brain] > 0).any()


def test_lesions_stand_out_from_their_surroundings(
    predictions: list[Prediction], world: World
) -> None:
    maps = {prediction.case_id: prediction.anomaly_map.data for prediction in predictions}
    brains = {case.case_id: case.brain for case in world.cases}
    assert len(world.lesions) == 2
    for case_id, lesion in world.lesions.items():
        around = brains[case_id] & ~ndimage.binary_dilation(lesion, iterations=7)
        assert maps[case_id][lesion].mean() > 1.2 * maps[case_id][around].mean()


@pytest.mark.slow
def test_neither_time_nor_order_changes_the_answer(
    spec: MethodSpec[Any], world: World, predictions: list[Prediction]
) -> None:
    method = build(spec, world)
    if not is_training_free(spec):
        fit(method, spec, world)
    assert all(map(same, predictions, method.predict(world.cases)))
    if method.scope is Scope.COHORT:
        for one, other in zip(predictions, [*method.predict(world.cases[::-1])][::-1], strict=True):
            assert one.case_id == other.case_id
            assert one.score == pytest.approx(other.score, abs=1e-4)
            assert np.abs(one.anomaly_map.data - other.anomaly_map.data).max() < 1e-4


def test_a_cohort_that_is_too_small_is_refused(spec: MethodSpec[Any], world: World) -> None:
    method = build(spec, world)
    if method.scope is Scope.COHORT:
        few = world.cases[: spec.minimum_cases - 1]
        with pytest.raises(UsageError, match=f"^{len(few)} cases") as caught:
            list(method.predict(few))
        assert str(spec.minimum_cases) in caught.value.fix
    else:
        assert spec.minimum_cases == 1


def test_with_a_state_each_case_is_judged_alone(
    fitted: Method, later: list[Prediction], world: World
) -> None:
    assert fitted.scope is Scope.CASE
    alone = [next(iter(fitted.predict([case]))) for case in world.cases[_FITTED:]]
    assert len(alone) == len(later) == 2
    assert all(map(same, later, alone))


def test_a_state_that_is_stored_predicts_the_same(
    spec: MethodSpec[Any], fitted: Method, later: list[Prediction], world: World
) -> None:
    state = fitted.state_dict()
    plain = {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}
    assert json.loads(json.dumps(plain)) == plain
    assert len(plain) < len(state)
    other = build(spec, world)
    other.load_state_dict({**state, **json.loads(json.dumps(plain))})
    assert all(map(same, later, other.predict(world.cases[_FITTED:])))
    other.load_state_dict(build(spec, world).state_dict())
    assert other.scope == build(spec, world).scope


def test_what_must_learn_refuses_to_predict_before(spec: MethodSpec[Any], world: World) -> None:
    method = build(spec, world)
    if is_training_free(spec):
        assert method.state_dict() == {}
    else:
        with pytest.raises(UsageError) as caught:
            list(method.predict(world.cases))
        assert "brainad_train" in caught.value.fix


def test_nothing_to_learn_from_is_refused(spec: MethodSpec[Any], world: World) -> None:
    with pytest.raises(UsageError):
        build(spec, world).fit([], MemorySession())


def test_parts_that_are_kept_predict_the_same(
    spec: MethodSpec[Any], world: World, predictions: list[Prediction], later: list[Prediction]
) -> None:
    method = build(spec, world)
    if not isinstance(method, EncodingMethod):
        return
    encodings = [method.encode(case) for case in world.cases]
    assert all(map(same, predictions, method.score(world.cases, encodings)))
    method.remember(encodings[:_FITTED])
    assert all(map(same, later, method.score(world.cases[_FITTED:], encodings[_FITTED:])))
    other = build(spec, world, seed=7)
    assert isinstance(other, EncodingMethod)
    if other.encoding_key == method.encoding_key:
        encoding = other.encode(world.cases[0])
        assert encoding.keys() == encodings[0].keys()
        assert all(np.array_equal(encoding[name], encodings[0][name]) for name in encoding)


def test_a_missing_channel_is_refused(spec: MethodSpec[Any], world: World, fitted: Method) -> None:
    method = build(spec, world) if is_training_free(spec) else fitted
    assert set(method.channels) <= set(world.preprocessing.channels)
    strange = replace(world.cases[0], images={"OTHER": world.cases[0].images["T2"]})
    with pytest.raises(DataError, match=method.channels[0]) as caught:
        list(method.predict([strange, *world.cases[1:]]))
    assert caught.value.fix


def test_unknown_methods_are_answered_with_those_that_exist() -> None:
    with pytest.raises(UsageError, match="no configuration '3d_fullres'") as caught:
        methods.get("3d_fullres")
    for name in methods.available():
        assert name in caught.value.fix
