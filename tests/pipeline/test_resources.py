from __future__ import annotations

from pathlib import Path

import pytest

from brainad.pipeline import resources
from brainad.pipeline.resources import core_count, measure_resources, memory_gib, process_count


def test_the_limit_of_a_container_is_respected(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text(f"{1024**2 * 64}\n")
    assert memory_gib((tmp_path / "absent", limit)) == 64 / 1024


@pytest.mark.parametrize("text", ["max\n", str(1024**5)])
def test_a_limit_above_the_machine_changes_nothing(tmp_path: Path, text: str) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text(text)
    assert 0 < memory_gib((limit,)) < 1024**2


@pytest.mark.parametrize(("gib", "cores", "processes"), [(0.5, 8, 1), (7.0, 8, 2), (99.0, 4, 4)])
def test_processes_are_limited_by_memory_and_cores(
    monkeypatch: pytest.MonkeyPatch, gib: float, cores: int, processes: int
) -> None:
    monkeypatch.setattr(resources, "memory_gib", lambda: gib)
    monkeypatch.setattr(resources, "core_count", lambda: cores)
    assert process_count() == processes


def test_a_budget_and_the_weights_are_passed_on(tmp_path: Path, weights_folder: Path) -> None:
    found = measure_resources(weights_folder, "cpu", seconds_per_case=7.0)
    assert (found.device, found.seconds_per_case, found.weights) == ("cpu", 7.0, weights_folder)
    assert found.threads == core_count() >= 1
    assert found.encoders
    assert not set(measure_resources(tmp_path, "cpu").encoders) & set(found.encoders)
