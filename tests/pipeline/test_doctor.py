from __future__ import annotations

from pathlib import Path

import pytest

from brainad.errors import DataError
from brainad.files import write_json
from brainad.pipeline import self_test
from brainad.pipeline.doctor import Check, examine, examine_scores, measure_disk
from brainad.plan import Resources
from brainad.workspace import locate_roots


def by_subject(checks: list[Check]) -> dict[str, Check]:
    return {check.subject: check for check in checks}


def test_everything_is_named_with_where_it_comes_from(tmp_path: Path) -> None:
    variables = {"BRAINAD_HOME": str(tmp_path / "home"), "brainad_raw": str(tmp_path)}
    checks = by_subject(examine(locate_roots({"results": str(tmp_path / "r")}, variables), "cpu"))
    assert f"{tmp_path} (from brainad_raw): exists, writable" in checks["folder raw"].finding
    assert "(from --results): not there yet" in checks["folder results"].finding
    assert "(from BRAINAD_HOME)" in checks["folder weights"].finding
    assert checks["weights dinov2_vits14"].state == "warning"
    assert "brainad_download_weights" in checks["weights dinov2_vits14"].fix
    assert checks["device"].finding.startswith("cpu")
    assert "GiB may be used" in checks["memory"].finding
    assert checks["torch"].state == "ok"


def test_weights_and_models_are_shown_with_hash_and_licence(
    tmp_path: Path, weights_folder: Path
) -> None:
    write_json(tmp_path / "bank" / "model_card.json", {"name": "bank of 5", "licence": "mine"})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model_card.json").write_text("{")
    named = {"weights": str(weights_folder), "results": str(tmp_path)}
    checks = by_subject(examine(locate_roots(named, {}), "no such device"))
    assert "SHA-256 935306540c11" in checks["weights dinov2_vits14"].finding
    assert "licence MIT" in checks["weights dinov2_vits14"].finding
    assert "licence mine" in checks[f"model {tmp_path / 'bank'}"].finding
    assert checks[f"model {tmp_path / 'broken'}"].state == "error"
    assert checks["device"].state == "error"


@pytest.mark.slow
def test_the_self_test_passes_here_and_notices_other_scores(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "scores within" in self_test.run_self_test("tiny", resources)
    monkeypatch.setattr(self_test, "measure_scores", lambda *_: (1.0, 1.0, 1.0, 1.0, 1.0))
    with pytest.raises(DataError, match="scores differ by"):
        self_test.run_self_test("tiny", resources)
    (check,) = examine_scores(resources.weights, "cpu")
    assert (check.subject, check.state) == ("self test", "error")


def test_folders_are_listed_with_size_and_purpose(tmp_path: Path) -> None:
    prepared = tmp_path / "out" / ".brainad" / "prepared"
    prepared.mkdir(parents=True)
    (prepared / "x").write_bytes(bytes(1024**2))
    (tmp_path / "raw" / "Dataset001_X").mkdir(parents=True)
    roots = locate_roots({}, {"BRAINAD_HOME": str(tmp_path)})
    found = {usage.folder.name: usage for usage in measure_disk(roots, tmp_path / "out")}
    assert found["prepared"].gib == pytest.approx(1 / 1024)
    assert "rebuilt" in found["prepared"].purpose
    assert "cannot be rebuilt" in found["Dataset001_X"].purpose
