from __future__ import annotations

import pytest

from brainad.errors import ResourceError
from brainad.pipeline.stop import StopRequest


def test_a_request_is_raised_once_and_stays_until_it_is_heeded() -> None:
    stop = StopRequest()
    stop.heed()
    with pytest.raises(ResourceError, match="asked to stop"):
        stop.make()
    stop.make()
    for _ in range(2):
        with pytest.raises(ResourceError, match="asked to stop") as caught:
            stop.heed()
        assert "the same command continues" in caught.value.fix
    stop.forget()
    stop.heed()
