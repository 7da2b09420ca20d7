from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainad.methods.rasalore.weighting import blurred_share, centre_weighted, rim_weighted

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_weights_are_the_golden_ones(golden: Load) -> None:
    case = golden("gaussian_weights")
    masks = torch.from_numpy(case["mask"]).float()
    inside, outside = float(case["sigma_fg"]), float(case["sigma_bg"])
    found = {
        "w_fg": blurred_share(masks[:2], inside),
        "center_weighted": centre_weighted(masks[:2], inside),
        "boundary_weighted": rim_weighted(masks[:2], inside),
        "w_bg": blurred_share(1 - masks, outside),
        "bg_weighted": centre_weighted(1 - masks, outside),
    }
    for name, result in found.items():
        np.testing.assert_allclose(result, case[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_an_empty_mask_has_no_weight(golden: Load) -> None:
    case = golden("gaussian_weights")
    assert case["w_fg_empty_isnan"]
    empty = torch.from_numpy(case["mask"][2:]).float()
    assert torch.equal(blurred_share(empty, 10.0), torch.zeros_like(empty))
