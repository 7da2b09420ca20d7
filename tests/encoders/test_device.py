from __future__ import annotations

import pytest
import torch

from brainad.encoders.device import choose_device
from brainad.errors import UsageError


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("auto", "cuda"),
        ("cpu", "cpu"),
        ("cuda", "cuda"),
        ("cuda:0", "cuda:0"),
        ("cuda:1", "cuda:1"),
    ],
)
def test_with_gpus(name: str, expected: str) -> None:
    assert choose_device(name) == torch.device(expected)


@pytest.mark.usefixtures("no_accelerator")
def test_auto_without_gpu_is_the_cpu() -> None:
    assert choose_device("auto") == torch.device("cpu")


@pytest.mark.usefixtures("no_accelerator")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_absent_device_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is not available"):
        choose_device(name)


@pytest.mark.usefixtures("two_gpus")
def test_gpu_beyond_the_last_is_refused() -> None:
    with pytest.raises(UsageError, match="cuda:2 is not available: 2 CUDA devices found"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", "", "cpu:0"])
def test_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="unknown device") as caught:
        choose_device(name)
    assert "cuda:N" in caught.value.fix


def test_available_metal_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("mps") == torch.device("mps")
