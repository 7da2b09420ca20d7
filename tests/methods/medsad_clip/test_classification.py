from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from brainad.methods.medsad_clip.classification import Temperature, margin_ceiling, similarities

Golden = Callable[[str], Any]


def test_similarities_match_the_golden_file(golden: Golden) -> None:
    known = golden("cls_mc")
    prototypes = torch.stack([known["t_normal"], known["t_abnormal"]])
    cosines = similarities(known["f_cls"], prototypes)
    assert torch.allclose(cosines[:, 0], known["s_n"], atol=1e-5)
    assert torch.allclose(cosines[:, 1], known["s_a"], atol=1e-5)
    logits = Temperature(float(known["tau"]), learnable=False)() * cosines
    assert torch.allclose(logits, known["logits"], atol=1e-5, rtol=1e-5)
    assert torch.allclose(torch.softmax(logits, 1)[:, 1], known["prob_abnormal"], atol=1e-5)
    assert margin_ceiling(prototypes) == pytest.approx(float(known["margin_ceiling"]), abs=1e-5)


def test_raw_products_would_give_other_probabilities(golden: Golden) -> None:
    known = golden("cls_mc")
    prototypes = torch.stack([known["t_normal"], known["t_abnormal"]])
    raw = torch.softmax(known["f_cls"] @ prototypes.T, 1)[:, 1]
    assert torch.allclose(raw, known["prob_abnormal_raw"], atol=1e-5)
    assert not torch.allclose(raw, known["prob_abnormal"], atol=1e-3)


@pytest.mark.parametrize("learnable", [True, False])
def test_the_temperature_learns_only_if_asked_to(learnable: bool) -> None:
    temperature = Temperature(10.0, learnable)
    assert temperature().item() == pytest.approx(10.0)
    assert [p.requires_grad for p in temperature.parameters()] == [learnable]


def test_the_temperature_stays_in_its_range() -> None:
    temperature = Temperature(10.0, learnable=True)
    with torch.no_grad():
        temperature.logarithm.fill_(9.0)
    assert temperature().item() == 100.0
