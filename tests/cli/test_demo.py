from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from brainad.cli import demo
from brainad.cli.demo import main
from brainad.files import read_json
from brainad.phantom import PhantomOptions

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.slow
def test_the_whole_job_runs_and_runs_again(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    planned_quickly: None,  # noqa: ARG001
) -> None:
    """The heads stay in template space and few are made, which spares the registration."""
    aligned = partial(PhantomOptions, random_pose=False, warp_mm=1.0)
    monkeypatch.setattr(demo, "PhantomOptions", aligned)
    monkeypatch.setattr(demo, "process_count", lambda: 1)
    monkeypatch.setattr(demo, "_HEALTHY", 4)
    monkeypatch.setattr(demo, "_UNHEALTHY", 1)
    home = tmp_path / "demo"
    flags = ("-o", home, "-spacing_mm", "5", "-lesion", "stroke", "-seed", "3", "-device", "cpu")
    code, shown, messages = command(main, *flags)
    assert code == 0
    assert "plan for Dataset501_Phantoms" in shown
    assert shown.count("phantom_0") == 5
    assert shown.count("healthy ") + shown.count("healthy\n") >= 5
    assert "(phantom data)" in shown
    picture = home / "predictions" / "overview.png"
    assert f"picture  {picture}\nreport   {home / 'predictions' / 'report.html'}" in shown
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert (home / "predictions" / "report.html").is_file()
    options = read_json(home / "raw" / "Dataset501_Phantoms" / "phantoms.json")
    assert (options["lesion"], options["seed"]) == ("stroke", 3)
    assert options["spacing_mm"] == [5, 5, 5]
    assert "done" in messages
    code, again, messages = command(main, *flags)
    assert code == 0
    assert again == shown
    # Only the comparison with the truth is made again.
    stages = {line.split()[0] for line in messages.splitlines() if " done " in line}
    assert stages == {"evaluate"}


def test_a_device_that_does_not_exist_is_refused(command: Command, tmp_path: Path) -> None:
    code, _, messages = command(main, "-o", tmp_path, "-lesion", "glioma", "-device", "abacus")
    assert code == 2
    assert "unknown device 'abacus'" in messages
