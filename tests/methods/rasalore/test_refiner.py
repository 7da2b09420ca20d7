from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

from brainad.methods.rasalore.refiner import Refiner

Load = Callable[[str], dict[str, NDArray[Any]]]


def test_refiner_is_the_golden_one(golden: Load, fill: Callable[..., Any]) -> None:
    case = golden("refiner")
    x = torch.from_numpy(case["x"])
    hidden = (case["w.conv1.bias"].size, case["w.tconv2.bias"].size)
    refiner = Refiner(x.shape[1], hidden, case["w.tconv3.bias"].size)
    fill(refiner, case, "w.")
    with torch.no_grad():
        found = {"y_eval": refiner.eval()(x), "y_train": refiner.train()(x)}
    for name, result in found.items():
        torch.testing.assert_close(result, torch.from_numpy(case[name]), rtol=1e-4, atol=1e-5)
    state = refiner.state_dict()
    after = [name for name in case if name.startswith("after_train.")]
    assert len(after) == 6
    for name in after:
        expected = torch.from_numpy(case[name])
        torch.testing.assert_close(
            state[name.removeprefix("after_train.")], expected, rtol=1e-4, atol=1e-5
        )
