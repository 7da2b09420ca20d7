from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from brainad.errors import UsageError
from brainad.files import read_csv
from brainad.phantom import PhantomOptions
from brainad.pipeline.phantoms import Cohort, write_cohort

OPTIONS = PhantomOptions(
    channels=("T2",), lesion="glioma", spacing_mm=(6.0, 6.0, 6.0), random_pose=False
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Write one healthy and one ill head."""
    found = Cohort(tmp_path_factory.mktemp("raw") / "Dataset001_Two", OPTIONS, 1, 1, seed=1)
    write_cohort(found)
    return found


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.nii.gz")}


def test_healthy_heads_have_no_mask(cohort: Cohort) -> None:
    rows = read_csv(cohort.folder / "cases.csv", ("case_id", "label"))
    assert [row["label"] for row in rows] == ["healthy", "unhealthy"]
    masks = [path.name for path in (cohort.folder / "labelsTr").iterdir()]
    assert masks == [f"{rows[1]['case_id']}.nii.gz"]
    assert len(list((cohort.folder / "imagesTr").iterdir())) == 2


def test_the_same_call_keeps_every_file(cohort: Cohort) -> None:
    before = times(cohort.folder)
    outcomes = write_cohort(cohort)
    assert [outcome.failure for outcome in outcomes] == [None, None]
    assert times(cohort.folder) == before


@pytest.mark.parametrize("other", ["seed", "healthy", "options"])
def test_another_cohort_is_refused(cohort: Cohort, other: str) -> None:
    options = replace(OPTIONS, spacing_mm=(5.0, 6.0, 6.0))
    changed = {"seed": 2, "healthy": 3, "options": options}[other]
    before = times(cohort.folder)
    with pytest.raises(UsageError, match="other options") as caught:
        write_cohort(replace(cohort, **{other: changed}))  # type: ignore[arg-type]
    assert "phantoms.json" in caught.value.fix
    assert times(cohort.folder) == before


@pytest.mark.parametrize(("healthy", "unhealthy"), [(16, 8), (5, 2), (0, 3), (3, 0), (1, 1)])
def test_the_ill_are_spread_evenly(tmp_path: Path, healthy: int, unhealthy: int) -> None:
    cohort = Cohort(tmp_path, OPTIONS, healthy, unhealthy, seed=0)
    total = healthy + unhealthy
    ill = [not cohort.is_healthy(index) for index in range(total)]
    assert sum(ill) == unhealthy
    for end in range(total + 1):
        assert abs(sum(ill[:end]) - end * unhealthy / total) < 1


@pytest.mark.parametrize(("lesion", "unhealthy"), [(None, 1), ("glioma", 0)])
def test_a_cohort_of_nothing_is_refused(tmp_path: Path, lesion: str | None, unhealthy: int) -> None:
    options = replace(OPTIONS, lesion=lesion)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"0 healthy and {unhealthy} unhealthy"):
        write_cohort(Cohort(tmp_path / "new", options, 0, unhealthy, seed=0))
    assert not (tmp_path / "new").exists()
