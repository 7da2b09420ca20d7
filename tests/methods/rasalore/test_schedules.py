from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainad.methods.rasalore.schedules import halving_rate, prompt_rate

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_rates_are_the_golden_ones(golden: Load) -> None:
    case = golden("lr_schedules")
    base, expected = float(case["stage2_base_lr"]), case["stage2_lr_per_epoch"]
    np.testing.assert_allclose(
        [halving_rate(epoch, base) for epoch in range(len(expected))], expected, rtol=1e-6
    )
    epochs = int(case["ddpt_epochs"])
    for name, rate, warm_up in (("visual", 0.01, 10), ("text", 0.002, 1)):
        found = [prompt_rate(epoch, epochs, rate, warm_up) for epoch in range(epochs)]
        np.testing.assert_allclose(found, case[f"ddpt_{name}_lr_per_epoch"], rtol=1e-9)
