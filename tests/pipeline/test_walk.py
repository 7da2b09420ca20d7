"""From raw scans to maps, masks, scores and a report, and the same again from what is kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainad import Predictor
from brainad.errors import UsageError
from brainad.files import read_csv, read_json, write_json
from brainad.inference.outputs import PATIENT_COLUMNS, SLICE_COLUMNS, OutputFolder
from brainad.nifti import read_volume
from brainad.phantom import PhantomOptions
from brainad.pipeline.bank import BankReport, build_bank
from brainad.pipeline.cases import Outcome, Share, unwatched
from brainad.pipeline.dataset import PLAN_FILE, PREPARED_FOLDER, DatasetWork
from brainad.pipeline.evaluate import evaluate_folder, find_truth
from brainad.pipeline.executors import Processes
from brainad.pipeline.folder import FolderOptions
from brainad.pipeline.phantoms import Cohort, write_cohort
from brainad.pipeline.planning import read_plan
from brainad.pipeline.predict import DecisionOptions, RunReport, predict_folder
from brainad.pipeline.report import write_html_report, write_run_report
from brainad.pipeline.sources import model_from_folder, model_from_plan
from brainad.plan import Resources
from brainad.summary import Summary


@dataclass(frozen=True)
class Walk:
    """A dataset of posed, tilted, reoriented heads and all that was made of it."""

    work: DatasetWork
    target: Path
    report: RunReport
    summary: Summary


@pytest.fixture(scope="module")
def walk(
    tmp_path_factory: pytest.TempPathFactory,
    resources: Resources,
    quick_planning: None,  # noqa: ARG001
) -> Walk:
    home = tmp_path_factory.mktemp("walk")
    raw, target = home / "raw" / "Dataset502_Posed", home / "predictions"
    options = PhantomOptions(
        channels=("T2",),
        lesion="glioma",
        lesion_radius_mm=(19.0, 20.0),
        spacing_mm=(5.0, 5.0, 6.0),
        oblique_degrees=15.0,
        random_orientation=True,
    )
    write_cohort(Cohort(raw, options, healthy=5, unhealthy=2, seed=3))
    work = DatasetWork(raw, home / "preprocessed" / raw.name, executor=Processes(2))
    work.plan(resources, None)
    work.preprocess("cpu", Share())
    report = predict_all(work, target, resources)
    summary = evaluate_folder(find_truth(raw), target)
    write_run_report(target, report, {"seed": 3})
    write_html_report(target, report, report.scans, find_truth(raw).masks, summary)
    return Walk(work, target, report, summary)


def predict_all(
    work: DatasetWork,
    target: Path,
    resources: Resources,
    seen: list[tuple[str, Outcome]] | None = None,
) -> RunReport:
    """Predict the scans of a dataset with its plan and note what became of each case."""

    def watch(stage: str, _total: int, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        for outcome in outcomes:
            if seen is not None:
                seen.append((stage, outcome))
            yield outcome

    return predict_folder(
        work.raw / "imagesTr",
        target,
        model_from_plan(work.derived / PLAN_FILE, "codegraph3d", resources),
        FolderOptions(prepared=work.derived / PREPARED_FOLDER),
        DecisionOptions(),
        watch,
    )


def times(folder: Path) -> dict[str, int]:
    """Return when each finished unit was written."""
    kinds = ("*.nii.gz", "*.npz", "*.npy", "cases/*.json", "checked/*.json")
    return {str(path): path.stat().st_mtime_ns for kind in kinds for path in folder.rglob(kind)}


@pytest.mark.slow
def test_every_head_gets_a_result_on_its_own_grid(walk: Walk) -> None:
    output = OutputFolder(walk.target)
    assert walk.report.failed == []
    assert walk.report.pending == []
    assert len(walk.report.scans) == 7
    orientations = set()
    for case_id, scan in walk.report.scans.items():
        given = nib.nifti1.load(scan)
        orientations.add(nib.aff2axcodes(given.affine))
        for path in (output.mask_path(case_id), output.map_path(case_id)):
            found = nib.nifti1.load(path)
            assert found.shape == given.shape
            assert np.array_equal(found.affine, given.affine)
            for key in ("sform_code", "qform_code", "xyzt_units", "srow_x", "quatern_b"):
                assert np.array_equal(found.header[key], given.header[key])
        anomaly_map = read_volume(output.map_path(case_id)).data
        mask = read_volume(output.mask_path(case_id)).data > 0
        assert 0 <= anomaly_map.min() <= anomaly_map.max() < 1
        assert np.array_equal(mask, anomaly_map >= 0.5)
        assert (anomaly_map[read_volume(scan).data == 0] > 0).mean() < 0.1
    assert len(orientations) > 3


@pytest.mark.slow
def test_lesions_are_found_where_they_are(walk: Walk) -> None:
    assert walk.summary.n_cases == {"expected": 7, "evaluated": 7, "missing": 0, "failed": 0}
    assert walk.summary.pixel_level["AUROC"] > 0.9
    assert walk.summary.threshold_source == "cohort_rule"
    assert read_json(walk.target / "summary.json")["n_cases"]["evaluated"] == 7


@pytest.mark.slow
def test_tables_have_one_row_per_case_and_slice(walk: Walk) -> None:
    patients = read_csv(walk.target / "patient_scores.csv", PATIENT_COLUMNS)
    assert [row["case_id"] for row in patients] == sorted(walk.report.scans)
    slices = read_csv(walk.target / "slice_scores.csv", SLICE_COLUMNS)
    for row in patients:
        axis = int(row["max_slice_axis"])
        shape = read_volume(walk.report.scans[row["case_id"]]).grid.shape
        own = [each for each in slices if each["case_id"] == row["case_id"]]
        assert [int(each["slice_index"]) for each in own] == list(range(shape[axis]))
        assert int(row["n_slices"]) == shape[axis]
        assert {int(each["axis"]) for each in own} == {axis}
        best = max(own, key=lambda each: float(each["score"]))
        assert int(best["slice_index"]) == int(row["max_slice_index"])
        assert (float(row["score"]) >= 0.5) == (row["prediction"] == "1")
    assert not (walk.target / "failed_cases.csv").exists()


@pytest.mark.slow
def test_the_reports_tell_what_was_done(walk: Walk) -> None:
    table = read_json(walk.target / "run_report.json")
    assert table["cases"] == {"done": 7, "failed": 0, "pending": 0}
    assert table["model_id"] == walk.report.model.model_id
    assert table["options"] == {"seed": 3}
    assert len(table["outputs"]) == 14
    assert all((walk.target / name).is_file() for name in table["outputs"])
    page = (walk.target / "report.html").read_text()
    assert all(case_id in page for case_id in walk.report.scans)
    assert "not a medical device" in page


@pytest.mark.slow
def test_the_second_run_keeps_everything(
    walk: Walk, resources: Resources, results_of: Callable[[Path], dict[str, bytes]]
) -> None:
    before, kept = times(walk.target), results_of(walk.target)
    assert len(before) == 7 * (2 + 2 + 2 + 1 + 1)
    seen: list[tuple[str, Outcome]] = []
    predict_all(walk.work, walk.target, resources, seen)
    assert times(walk.target) == before
    assert results_of(walk.target) == kept
    assert {stage for stage, _ in seen} == {"prepare", "encode", "score", "restore"}
    assert all(outcome.seconds == 0 for _, outcome in seen)
    outcomes = walk.work.preprocess("cpu", Share())
    assert [outcome.seconds for outcome in outcomes] == [0.0] * 7


@pytest.mark.slow
def test_a_plan_edited_by_hand_is_honoured(
    walk: Walk, resources: Resources, tmp_path: Path
) -> None:
    target, work = tmp_path / "predictions", walk.work
    shutil.copytree(walk.target, target)
    derived = tmp_path / work.derived.name
    derived.mkdir()
    for path in (work.derived / PLAN_FILE, work.derived / "dataset_fingerprint.json"):
        shutil.copy2(path, derived)
    edited = read_json(derived / PLAN_FILE)
    edited["configurations"]["codegraph3d"] |= {"graph": None, "nearest_share": [0.0, 0.5]}
    edited["preprocessing"]["slice_axis"] = 0
    write_json(derived / PLAN_FILE, edited)
    mine = DatasetWork(work.raw, derived)
    plan = mine.plan(resources, None)
    assert plan == read_plan(derived / PLAN_FILE)
    assert plan.configurations["codegraph3d"]["graph"] is None
    report = predict_folder(
        work.raw / "imagesTr",
        target,
        model_from_plan(derived / PLAN_FILE, "codegraph3d", resources),
        FolderOptions(prepared=work.derived / PREPARED_FOLDER),
        DecisionOptions(),
    )
    assert report.model.model_id != walk.report.model.model_id
    assert read_json(target / "plans.json")["configurations"]["codegraph3d"]["graph"] is None
    for marker in report.markers:
        grid = read_volume(report.scans[marker.row["case_id"]]).grid
        assert marker.slice_axis == grid.array_axis(0)
    assert mine.plan(resources, None, renew=True).configurations["codegraph3d"]["graph"] is not None


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_shares_give_the_same_as_one_run(
    phantom_work: DatasetWork,
    phantom_predictions: Path,
    predict: Callable[..., RunReport],
    results_of: Callable[[Path], dict[str, bytes]],
    tmp_path: Path,
    order: tuple[int, int],
) -> None:
    scans = phantom_work.raw / "imagesTr"
    first = predict(scans, tmp_path, share=Share(2, order[0]))
    assert len(first.pending) == (3, 4)[order[0]]
    assert first.calibration is None
    assert list(tmp_path.rglob("*.nii.gz")) == []
    last = predict(scans, tmp_path, share=Share(2, order[1]))
    assert last.pending == []
    assert results_of(tmp_path) == results_of(phantom_predictions)


@pytest.fixture(scope="module")
def scans(phantom_work: DatasetWork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sort the scans into a folder of healthy ones and a folder of ill ones."""
    home = tmp_path_factory.mktemp("scans")
    for case_id, label in find_truth(phantom_work.raw).labels.items():
        (home / label).mkdir(exist_ok=True)
        source = phantom_work.raw / "imagesTr" / f"{case_id}_0000.nii.gz"
        shutil.copy2(source, home / label)
    shutil.copy2(phantom_work.raw / "dataset.json", home)
    return home


@pytest.fixture(scope="module")
def bank(phantom_work: DatasetWork, scans: Path, resources: Resources) -> tuple[Path, BankReport]:
    folder = scans / "bank"
    report = build_bank(
        scans / "healthy",
        folder,
        model_from_plan(phantom_work.derived / PLAN_FILE, "codegraph3d", resources),
        FolderOptions(prepared=phantom_work.derived / PREPARED_FOLDER),
        fpr=0.2,
        watch=unwatched,
    )
    return folder, report


def test_a_bank_holds_the_healthy_scans_and_their_thresholds(
    bank: tuple[Path, BankReport], scans: Path
) -> None:
    folder, report = bank
    assert len(report.used) == len(list((scans / "healthy").iterdir())) == 5
    assert report.left_out == {}
    assert report.threshold_source == "5 held-out healthy cases at a false positive rate of 0.2"
    card = read_json(folder / "model_card.json")
    assert (card["cases"], card["channels"]) == (5, ["T2"])
    assert len(read_json(folder / "calibration.json")["healthy_scores"]) == 5


def test_one_new_scan_is_judged_alone(
    bank: tuple[Path, BankReport], scans: Path, resources: Resources, tmp_path: Path
) -> None:
    model = model_from_folder(bank[0], resources)
    options, decisions = FolderOptions(), DecisionOptions()
    both = predict_folder(scans / "unhealthy", tmp_path / "both", model, options, decisions)
    assert [marker.row["status"] for marker in both.markers] == ["ok", "ok"]
    name, scan = next(iter(both.scans.items()))
    (tmp_path / "new").mkdir()
    shutil.copy2(scan, tmp_path / "new")
    shutil.copy2(scans / "dataset.json", tmp_path)
    alone = predict_folder(tmp_path / "new", tmp_path / "alone", model, options, decisions)
    assert [marker.row["case_id"] for marker in alone.markers] == [name]
    for path in (Path(f"{name}.nii.gz"), Path("anomaly_maps") / f"{name}.nii.gz"):
        assert (tmp_path / "alone" / path).read_bytes() == (tmp_path / "both" / path).read_bytes()
    row, other = alone.markers[0].row, both.markers[0].row
    assert {**row, "runtime_s": 0} == {**other, "runtime_s": 0}
    assert row["p_value"] == pytest.approx(1 / 6)

    result = Predictor(model(None), "cpu").predict_case({"T2": scan}, name)  # type: ignore[arg-type]
    stored = read_volume(OutputFolder(tmp_path / "alone").map_path(name))
    assert result.anomaly_map.grid.matches(stored.grid, 0)
    # The folder run keeps images and maps as float16.
    assert np.abs(result.anomaly_map.data - stored.data).max() < 2e-3
    assert result.score_raw == pytest.approx(row["score_raw"], rel=5e-3)
    image = nib.nifti1.load(scan)
    in_memory = Predictor(model(None), "cpu").predict_case({"T2": image})  # type: ignore[arg-type]
    assert np.array_equal(in_memory.anomaly_map.data, result.anomaly_map.data)


def test_a_model_refuses_what_it_cannot_judge(
    bank: tuple[Path, BankReport],
    phantom_work: DatasetWork,
    scans: Path,
    resources: Resources,
) -> None:
    scan = next((scans / "unhealthy").iterdir())
    cohort = model_from_plan(phantom_work.derived / PLAN_FILE, "codegraph3d", resources)
    with pytest.raises(UsageError, match="cannot judge one alone") as caught:
        Predictor(cohort(None), "cpu").predict_case({"T2": scan})  # type: ignore[arg-type]
    assert "brainad_build_bank" in caught.value.fix
    model = model_from_folder(bank[0], resources)
    with pytest.raises(UsageError, match="FLAIR are not what the model looks at"):
        Predictor(model(None), "cpu").predict_case({"FLAIR": scan})  # type: ignore[arg-type]
