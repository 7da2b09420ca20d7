from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from brainad.errors import UsageError
from brainad.phantom.options import PhantomOptions, random_stream


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": ()},
        {"channels": ("T1", "PET")},
        {"lesion": "cyst"},
        {"spacing_mm": (1.0, 1.0, 12.0)},
        {"warp_mm": -1.0},
        {"oblique_degrees": 60.0},
        {"lesion": "glioma", "lesion_radius_mm": (10.0, 8.0)},
        {"lesion": "metastases", "lesion_radius_mm": (3.0, 20.0)},
    ],
)
def test_wrong_options_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"phantom option {list(wrong)[-1]} is"):
        PhantomOptions(**wrong)


def test_radius_range_follows_the_kind_of_lesion() -> None:
    assert PhantomOptions().radius_range_mm == (0.0, 0.0)
    assert PhantomOptions(lesion="metastases").radius_range_mm == (3.0, 8.0)
    chosen = PhantomOptions(lesion="glioma", lesion_radius_mm=(10.0, 12.0))
    assert chosen.radius_range_mm == (10.0, 12.0)


def test_random_streams_repeat_and_differ_by_purpose_and_seed() -> None:
    first = random_stream(1, "warp").random(4)
    assert np.array_equal(first, random_stream(1, "warp").random(4))
    assert not np.array_equal(first, random_stream(1, "pose").random(4))
    assert not np.array_equal(first, random_stream(2, "warp").random(4))
