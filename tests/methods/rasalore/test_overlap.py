from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainad.methods.rasalore.overlap import exponential_log, soft_dice, tversky

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_measures_are_the_golden_ones(golden: Load) -> None:
    case = golden("overlap_terms")
    predicted, target = (torch.from_numpy(case[name]) for name in ("pred", "target"))
    dice, drawn = soft_dice(predicted, target), (predicted > 0.5).float()
    loose = tversky(predicted, target, 0.3)
    found = {
        "soft_dice": dice,
        "hard_dice_gt_half": soft_dice(drawn, target),
        "tversky_03": loose,
        "tversky_04": tversky(predicted, target, 0.4),
        "tversky_05": tversky(predicted, target, 0.5),
        "el_of_dice": exponential_log(dice),
        "el_of_tversky_03": exponential_log(loose),
        "mean_eldice": exponential_log(dice).mean(),
        "mean_eltversky_04": exponential_log(tversky(predicted, target, 0.4)).mean(),
        "mean_hard_dice": soft_dice(drawn, target).mean(),
    }
    for name, result in found.items():
        np.testing.assert_allclose(result, case[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_gradients_stay_finite_at_the_ends() -> None:
    for value in (0.0, 1.0):
        predicted = torch.full((1, 4), value, requires_grad=True)
        exponential_log(soft_dice(predicted, torch.ones(1, 4))).sum().backward()
        assert predicted.grad is not None
        assert predicted.grad.isfinite().all()
