from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from brainad.errors import DataError
from brainad.input_folder import make_case
from brainad.nifti import image_from_volume
from brainad.pipeline import resources
from brainad.pipeline.resources import (
    core_count,
    limit_files,
    measure_resources,
    memory_gib,
    process_count,
    require_memory,
)
from brainad.volume import Grid, Volume

GIB = 1024**3


def limit(folder: Path, limit_bytes: str, anonymous: int | None = None) -> tuple[Path, ...]:
    folder.mkdir(exist_ok=True)
    (folder / "memory.max").write_text(f"{limit_bytes}\n")
    if anonymous is not None:
        (folder / "memory.stat").write_text(f"file 999999999999\nanon {anonymous}\n")
    return (folder / "memory.max",)


def test_the_smallest_limit_counts(tmp_path: Path) -> None:
    assert memory_gib(limit(tmp_path, str(GIB // 4))) == 0.25
    assert memory_gib(limit(tmp_path, str(GIB // 4), GIB // 8)) == 0.125
    assert memory_gib(limit(tmp_path, str(GIB // 8), GIB)) == 0
    unlimited = memory_gib(())
    assert memory_gib(limit(tmp_path, "max")) == pytest.approx(unlimited, rel=0.2)
    assert memory_gib((tmp_path / "none",)) == pytest.approx(unlimited, rel=0.2)


@pytest.mark.parametrize(
    ("statistics", "gib"),
    [
        (f"rss_huge {GIB}\nrss {GIB // 2}", 0.5),
        (f"rss {GIB // 2}\ntotal_rss_huge 0\ntotal_rss {GIB // 4 * 3}", 0.25),
        ("cache 7\n\nodd", 1.0),
    ],
)
def test_the_first_version_of_control_groups_counts_under_other_names(
    tmp_path: Path, statistics: str, gib: float
) -> None:
    (tmp_path / "memory.limit_in_bytes").write_text(f"{GIB}\n")
    (tmp_path / "memory.stat").write_text(statistics)
    assert memory_gib((tmp_path / "memory.limit_in_bytes",)) == gib


def test_the_group_of_the_process_and_those_above_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "cgroup"
    own.write_text("4:cpu,cpuacct:/other\n1:hugetlb,memory:/old/job_7\n0::/slurm/job_7\n")
    monkeypatch.setattr(resources, "_OWN_GROUP", own)
    files = [str(path) for path in limit_files()]
    for name in ("", "/slurm", "/slurm/job_7"):
        assert f"/sys/fs/cgroup{name}/memory.max" in files
    for name in ("", "/old", "/old/job_7"):
        assert f"/sys/fs/cgroup/memory{name}/memory.limit_in_bytes" in files
    assert len(files) == 6
    assert all(name.startswith("/sys/fs/cgroup/") for name in files)
    monkeypatch.setattr(resources, "_OWN_GROUP", tmp_path / "none")
    assert limit_files()[0] == Path("/sys/fs/cgroup/memory.max")


def test_a_scan_that_cannot_fit_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (2, 2, 2)
    image = image_from_volume(Volume(np.zeros(shape, dtype=np.float32), Grid(shape, np.eye(4))))
    content = bytearray(image.to_bytes())
    struct.pack_into("<8h", content, 40, 3, 900, 900, 900, 1, 1, 1, 1)
    large, small = tmp_path / "large.nii", tmp_path / "small.nii"
    large.write_bytes(bytes(content))
    small.write_bytes(image.to_bytes())
    monkeypatch.setattr(resources, "memory_gib", lambda: 8.0)
    require_memory(make_case("a", {"T1": small, "T2": tmp_path / "missing.nii"}))
    with pytest.raises(DataError, match=r"729 million voxels .* 22\.2 GiB .* 8\.0 GiB are free"):
        require_memory(make_case("a", {"T1": large}))


def test_a_limit_above_the_machine_changes_nothing(tmp_path: Path) -> None:
    assert 0 < memory_gib(limit(tmp_path, str(1024**5))) < 1024**2


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
