from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from brainad.case import Placement, PreparedCase
from brainad.errors import DataError, UsageError
from brainad.method import Scope
from brainad.methods.codegraph3d.method import CoDeGraph3D
from brainad.methods.codegraph3d.plan import VIEWS, CoDeGraph3DPlan
from brainad.plan import Resources
from brainad.volume import centred_grid

SHAPE = (28, 28, 28)
PLAN = CoDeGraph3DPlan(
    seed=1,
    reasons=(),
    channel="T2",
    encoder="tiny",
    cell=14,
    layers=(1, 3),
    final_norm=True,
    views=VIEWS,
    slices_per_block=1,
    average_neighbours=False,
    neighbourhood=1,
    projected_width=8,
    min_brain_fraction=0.0,
    matching="local",
    radius=1,
    nearest_share=(0.0, 0.3),
    graph=None,
    chunk_size=30,
    block_size=3,
    patient_rule="max",
    case_smoothing=(),
    aligned_corners=False,
)


def head(name: str, shape: tuple[int, int, int] = SHAPE, bright: float = 0.0) -> PreparedCase:
    """Make a block of noise, a corner of which may be bright."""
    rng = np.random.default_rng([*name.encode()])
    brain = np.zeros(shape, dtype=bool)
    brain[2:-2, 2:-2, 2:-2] = True
    image = np.where(brain, 0.4 + 0.02 * rng.standard_normal(shape), 0).astype(np.float32)
    image[2:12, 2:12, 2:12] += bright
    grid = centred_grid(shape, 2.0, np.zeros(3))
    return PreparedCase(name, {"T2": image}, brain, Placement(grid, grid, np.eye(4)))


@pytest.fixture
def method(resources: Resources) -> CoDeGraph3D:
    return CoDeGraph3D(PLAN, resources)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"layers": (1, 99)}, "layers"),
        ({"layers": (0, 1)}, "layers"),
        ({"layers": ()}, "layers"),
    ],
)
def test_settings_that_cannot_work_are_named(
    resources: Resources, settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError) as caught:
        CoDeGraph3D(replace(PLAN, **settings), resources)
    assert caught.value.where == f"plan, codegraph3d.{named}"


def test_a_grid_of_broken_cells_is_a_mistake_of_the_plan(method: CoDeGraph3D) -> None:
    with pytest.raises(UsageError, match="cells of 14") as caught:
        method.encode(head("a", (28, 30, 28)))
    assert caught.value.where == "plan, preprocessing.working_shape and codegraph3d.cell"


def test_a_missing_channel_concerns_one_case(resources: Resources) -> None:
    method = CoDeGraph3D(replace(PLAN, channel="FLAIR"), resources)
    with pytest.raises(DataError, match="channel FLAIR is missing; found T2") as caught:
        method.encode(head("a"))
    assert caught.value.where == "case a"


def test_encodings_hold_the_planned_layers(method: CoDeGraph3D) -> None:
    found = method.encode(head("a"))
    assert set(found) == {"cells", "layer_1", "layer_3"}
    assert found["cells"].shape == (2, 2, 2)
    assert found["layer_1"].shape == (8, 3 * PLAN.projected_width)
    assert found["layer_1"].dtype == np.float16


def test_few_cases_are_refused_and_a_bank_judges_one(method: CoDeGraph3D) -> None:
    healthy = [head(name) for name in "abcdef"]
    with pytest.raises(UsageError, match="4 cases are too few"):
        list(method.predict(healthy[:4]))
    with pytest.raises(UsageError, match="4 cases are too few"):
        method.remember([method.encode(case) for case in healthy[:4]])
    scopes = [method.scope]
    method.remember([method.encode(case) for case in healthy])
    assert [*scopes, method.scope] == [Scope.COHORT, Scope.CASE]
    (ill,) = method.predict([head("g", bright=0.5)])
    (well,) = method.predict([head("g")])
    assert ill.score > 2 * well.score
    assert ill.anomaly_map.data.shape == SHAPE
    evidence = ill.anomaly_map.data
    assert evidence[4:10, 4:10, 4:10].mean() > evidence[-10:-4, -10:-4, -10:-4].mean()


@pytest.mark.parametrize("grid", [None, [1, 2], [1, 2, float("inf")], [1, 2, float("nan")], "x"])
def test_a_state_that_is_no_bank_is_refused(
    method: CoDeGraph3D, resources: Resources, grid: object
) -> None:
    method.remember([method.encode(head(name)) for name in "abcde"])
    with pytest.raises(UsageError, match="the state is not a bank"):
        CoDeGraph3D(PLAN, resources).load_state_dict({**method.state_dict(), "grid": grid})


def test_a_bank_is_restored(method: CoDeGraph3D, resources: Resources) -> None:
    method.remember([method.encode(head(name)) for name in "abcde"])
    other = CoDeGraph3D(PLAN, resources)
    other.load_state_dict(method.state_dict())
    one, two = (next(iter(each.predict([head("g")]))) for each in (method, other))
    assert two.score == pytest.approx(one.score, rel=1e-2)
    other.load_state_dict({})
    assert other.scope is Scope.COHORT
