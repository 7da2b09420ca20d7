from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from brainad.phantom.appearance import (
    CONTRASTS,
    Appearance,
    add_rician_noise,
    bias_field,
    extracranial_signal,
    mix_tissues,
    sample_appearance,
)
from brainad.phantom.template import Map
from brainad.volume import centred_grid


def plain(channel: str) -> Appearance:
    return Appearance(CONTRASTS[channel], texture=0, bias=(0.0,) * 9, noise=0, scale=1)


def pure_tissues() -> dict[str, Map]:
    rows = np.eye(3, dtype=np.float32)
    return {"csf": rows[0], "grey": rows[1], "white": rows[2]}


@pytest.mark.parametrize(
    ("channel", "dark_to_bright"),
    [
        ("T1", ["csf", "grey", "white"]),
        ("T1CE", ["csf", "grey", "white"]),
        ("T2", ["white", "grey", "csf"]),
        ("FLAIR", ["csf", "white", "grey"]),
    ],
)
def test_tissues_keep_their_order_however_they_vary(
    channel: str, dark_to_bright: list[str]
) -> None:
    for seed in range(20):
        look = sample_appearance(channel, np.random.default_rng(seed))
        levels = [look.tissue[name] for name in dark_to_bright]
        assert levels == sorted(levels)


def test_lesions_stand_out_as_in_the_clinic() -> None:
    t1, t2 = CONTRASTS["T1"], CONTRASTS["T2"]
    flair, enhanced = CONTRASTS["FLAIR"], CONTRASTS["T1CE"]
    for name in ("oedema", "infarct", "gliosis"):
        assert t1[name] < t1["white"]
        assert t2[name] > t2["grey"] and flair[name] > flair["grey"]
    assert enhanced["enhancing"] > enhanced["white"] > t1["enhancing"]


def test_mixture_of_pure_tissue_is_its_brightness() -> None:
    signal = mix_tissues(plain("T2"), pure_tissues(), np.zeros(3, dtype=np.float32))
    expected = [CONTRASTS["T2"][name] for name in ("csf", "grey", "white")]
    assert np.allclose(signal, expected)


def test_template_detail_is_kept_on_t1_and_inverted_on_t2() -> None:
    detail = np.full(3, 0.05, dtype=np.float32)
    gain = {
        channel: mix_tissues(plain(channel), pure_tissues(), detail)
        - mix_tissues(plain(channel), pure_tissues(), 0 * detail)
        for channel in ("T1", "T2")
    }
    assert np.allclose(gain["T1"], 0.05, atol=1e-6)
    assert (gain["T2"] < 0).all()


def test_fat_is_bright_and_bone_dark() -> None:
    head = np.array([0.0, 0.15, 0.6, 1.5], dtype=np.float32)
    tissue = CONTRASTS["T2"]
    levels = [0, tissue["bone"], tissue["muscle"], tissue["fat"]]
    assert np.allclose(extracranial_signal(plain("T2"), head), levels)


def test_bias_field_is_its_polynomial() -> None:
    grid = centred_grid((3, 3, 3), 90.0, np.zeros(3))
    bias = (0.1, 0, 0, 0, 0.2, 0, 0, 0, 0.3)
    field = bias_field(dataclasses.replace(plain("T1"), bias=bias), grid)
    assert field[1, 1, 1] == 1
    assert field[2, 1, 1] == pytest.approx(np.exp(0.1))
    assert field[1, 0, 1] == pytest.approx(np.exp(0.2))
    assert field[2, 1, 0] == pytest.approx(np.exp(0.1 - 0.3))


def test_rician_noise_has_a_rayleigh_floor_and_a_gaussian_ceiling() -> None:
    rng = np.random.default_rng(0)
    empty = add_rician_noise(np.zeros(20000, dtype=np.float32), 0.1, rng)
    bright = add_rician_noise(np.ones(20000, dtype=np.float32), 0.1, rng)
    assert empty.min() >= 0
    assert empty.mean() == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.03)
    assert bright.std() == pytest.approx(0.1, rel=0.03)
    assert bright.dtype == np.float32


def test_phantoms_differ_in_scale_contrast_and_field() -> None:
    looks = [sample_appearance("T1", np.random.default_rng(seed)) for seed in range(20)]
    assert np.ptp([look.scale for look in looks]) > 200
    assert np.ptp([look.tissue["grey"] for look in looks]) > 0.05
    assert np.ptp([look.bias[0] for look in looks]) > 0.1
