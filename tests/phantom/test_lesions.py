from __future__ import annotations

import math

import numpy as np
import pytest

from brainad.phantom.anatomy import Point
from brainad.phantom.lesions import Layer, Lesion, Ripple, layer_fractions, mass_effects
from brainad.phantom.template import Map

SURFACE = Ripple(1, 8.0)
ORIGIN: Point = (2.0, -3.0, 1.0)


def layers(*outer: float, roughness: float = 0.0) -> tuple[Layer, ...]:
    names = ("necrosis", "enhancing", "oedema")[-len(outer) :]
    return tuple(
        Layer(name, end, SURFACE, roughness) for name, end in zip(names, outer, strict=True)
    )


def places(half_mm: float, edge_mm: float = 1.0) -> Map:
    axis = np.arange(-half_mm, half_mm + edge_mm / 2, edge_mm, dtype=np.float32)
    points: Map = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, -1)
    return points


def test_ripple_has_unit_variance_and_repeats() -> None:
    field = Ripple(3, 5.0).at(places(40.0, 4.0))
    assert abs(field.mean()) < 0.1 and field.std() == pytest.approx(1, abs=0.1)
    assert np.array_equal(field, Ripple(3, 5.0).at(places(40.0, 4.0)))
    assert not np.array_equal(field, Ripple(4, 5.0).at(places(40.0, 4.0)))


@pytest.mark.parametrize("roughness", [0.0, 0.2])
def test_a_ball_has_the_volume_of_its_radius(roughness: float) -> None:
    volumes = []
    for seed in range(5):
        layer = Layer("oedema", 1.0, Ripple(seed, 10.0), roughness)
        ball = Lesion(ORIGIN, 10.0, (layer,), SURFACE)
        points = places(20.0)
        fraction = layer_fractions(ball, points, np.ones_like(points[0]))["oedema"]
        volumes.append((fraction >= 0.5).sum())
    assert np.mean(volumes) == pytest.approx(4 / 3 * math.pi * 1000, rel=0.08)


def test_a_wedge_has_the_volume_of_its_radius_and_opens_along_its_axis() -> None:
    wedge = Lesion(
        (0.0, 0.0, 0.0), 10.0, layers(1.0), SURFACE, axis=(0.0, 0.0, 1.0), half_angle=0.6
    )
    points = places(math.ceil(wedge.reach_mm) + 2)
    filled = layer_fractions(wedge, points, np.ones_like(points[0]))["oedema"] >= 0.5
    assert filled.sum() == pytest.approx(4 / 3 * math.pi * 1000, rel=0.05)
    assert points[2][filled].min() >= 0
    assert points[2][filled].max() == pytest.approx(wedge.reach_mm, abs=1)


def test_layers_lie_inside_each_other_and_fill_the_lesion() -> None:
    points = places(14.0)
    parenchyma = np.ones_like(points[0])
    parenchyma[points[0] > 8] = 0
    rough = Lesion(ORIGIN, 10.0, layers(0.4, 0.7, 1.0, roughness=0.2), SURFACE)
    parts = layer_fractions(rough, points, parenchyma)
    assert list(parts) == ["necrosis", "enhancing", "oedema"]
    assert min(part.min() for part in parts.values()) >= 0
    assert (sum(parts.values()) <= parenchyma + 1e-6).all()
    distance = np.linalg.norm(points - np.array(ORIGIN)[:, None], axis=0)
    means = [float(np.average(distance, weights=part)) for part in parts.values()]
    assert means == sorted(means)


def test_only_a_solid_core_pushes() -> None:
    ball = Lesion(ORIGIN, 10.0, layers(0.4, 0.6, 1.0), SURFACE)
    (push,) = mass_effects([ball, Lesion(ORIGIN, 5.0, layers(1.0), SURFACE)])
    assert push.centre_mm == ORIGIN
    assert push.radius_mm == pytest.approx(6)
    assert push.push_mm == pytest.approx(1.98)
