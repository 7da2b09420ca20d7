"""Fixtures shared by all tests."""

from __future__ import annotations

import json
import logging
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainad import methods
from brainad.case import Placement, PreparedCase
from brainad.encoders.choice import DEFAULT_ENCODER
from brainad.encoders.weights import fetch_weights
from brainad.files import read_csv
from brainad.inference.outputs import PATIENT_COLUMNS
from brainad.method import MethodSpec
from brainad.methods.medsad_clip.network import NetworkSettings
from brainad.methods.rasalore.mask_making import MaskSettings
from brainad.methods.rasalore.network import NetworkSize
from brainad.methods.rasalore.prompt_tuning import PromptSettings
from brainad.methods.rasalore.stage_one import TuningSettings
from brainad.methods.rasalore.stage_two import TrainingSettings
from brainad.phantom import PhantomOptions
from brainad.pipeline import planning
from brainad.pipeline.bank import build_bank
from brainad.pipeline.cases import Share, Watch, unwatched
from brainad.pipeline.dataset import PLAN_FILE, PREPARED_FOLDER, DatasetWork
from brainad.pipeline.evaluate import find_truth
from brainad.pipeline.folder import FolderOptions
from brainad.pipeline.phantoms import Cohort, write_cohort
from brainad.pipeline.predict import DecisionOptions, RunReport, predict_folder
from brainad.pipeline.sources import model_from_plan
from brainad.plan import Fingerprint, Plan, PreprocessingPlan, Resources
from brainad.planning.planner import PlanningOptions, WorkingSpace, plan_dataset
from brainad.volume import Grid, centred_grid
from brainad.workspace import find_workspace

DATA = Path(__file__).parent / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let those who have a GPU run the methods' tests on it."""
    parser.addoption("--device", default="cpu", help="where methods compute: cpu, cuda, cuda:N")


def pytest_sessionstart() -> None:
    """Fetch the embedded weights once, like brainad_download_weights; the tests have no network."""
    for name in (DEFAULT_ENCODER, "all_minilm_l6_v2"):
        fetch_weights(name, find_workspace({}).weights)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def weights_folder() -> Path:
    """Where the embedded encoder is."""
    return find_workspace({}).weights


@pytest.fixture(scope="session")
def colin27_head() -> Path:
    return DATA / "colin27_t1_head.nii.gz"


@pytest.fixture(scope="session")
def colin27_brain() -> Path:
    return DATA / "colin27_t1_brain.nii.gz"


@pytest.fixture(scope="session")
def resources(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Resources:
    """Describe a small machine without any weights."""
    weights = tmp_path_factory.mktemp("weights")
    device = pytestconfig.getoption("--device")
    return Resources(device, 4.0, 2, weights, (), seconds_per_case=60.0)


@pytest.fixture
def plan() -> Plan:
    """Make a plan whose numbers differ from each other."""
    return Plan(
        format_version=1,
        dataset_name="Dataset007_Heads",
        default_configuration="codegraph3d",
        preprocessing=PreprocessingPlan(
            channels=("FLAIR", "T1"),
            brain_mask="per-case",
            bias_field=True,
            coregister=False,
            registration="affine",
            template="mni152",
            working_shape=(14, 28, 42),
            spacing_mm=1.5,
            landmarks={"FLAIR": (0.0, 50.0, 100.0), "T1": (0.0, 40.0, 100.0)},
            slice_axis=2,
        ),
        configurations={"codegraph3d": {"seed": 42, "layers": [1, 2]}},
        reasons=("channels = FLAIR, T1: they are there",),
        fingerprint_hash="0123456789abcdef",
    )


@pytest.fixture
def prepared_case(rng: np.random.Generator) -> PreparedCase:
    """Make a case of two channels whose native grid is flipped, oblique and anisotropic."""
    brain = np.zeros((6, 7, 8), dtype=bool)
    brain[1:-1, 1:-1, 1:-1] = True
    images = {
        name: np.where(brain, rng.random(brain.shape), 0).astype(np.float32)
        for name in ("T1", "FLAIR")
    }
    affine = np.array([[-0.9, 0.1, 0.0, 4.0], [0.1, 0.9, 0, -5.0], [0, 0, 4, -6.0], [0, 0, 0, 1]])
    placement = Placement(
        native=Grid((9, 8, 3), affine),
        working=centred_grid((6, 7, 8), 1.5, np.zeros(3)),
        working_from_native=np.array(
            [[1.1, 0.0, 0.1, 1 / 3], [0.0, 0.9, 0.0, -2.0], [-0.1, 0, 1, 0.1], [0, 0, 0, 1]]
        ),
    )
    return PreparedCase("case_1", images, brain, placement)


# Settings with which each method takes seconds on the tiny encoder.
QUICK_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "codegraph3d": {
        "encoder": "tiny",
        "layers": (1, 2, 3),
        "cell": 14,
        "slices_per_block": 1,
        "projected_width": 16,
    },
    "medsad_clip": {
        "encoder": "tiny",
        "longest_side": 112,
        "taps": (2, 4),
        "network": NetworkSettings(
            taps=2,
            shared_width=32,
            adapter_design="normalised",
            mix=(0.9, 0.05, 0.05),
            learnable_tokens=4,
            segmentation="cross_attention",
            attention_heads=2,
            rescale_attention=True,
            decoder_widths=(32, 16, 16),
            decoder_groups=4,
            temperature=10.0,
            learn_temperature=True,
        ),
        "rate": 2e-3,
        "epochs": 4,
        "batches_per_epoch": 10,
        "batch": 8,
    },
    "anyad": {
        "encoder": "tiny",
        "layers": (1, 2, 3, 4),
        "image_size": 140,
        "slice_step": 2,
        "decoder_blocks": 2,
        "epochs": 8,
        "tokens_per_slice": 32,
    },
    "rasalore": {
        "encoder": "tiny",
        "prompts": PromptSettings(text_tokens=2, visual_tokens=2, depth=4, first_block=2),
        "tuning": TuningSettings(
            image_size=112,
            slices_per_class=40,
            space_epochs=20,
            guidance_epochs=1,
            epochs=8,
            batch=8,
            optimiser="adam",
            visual_rate=0.01,
            text_rate=0.002,
            warm_up=1,
        ),
        "masks": MaskSettings(
            attention="evidence", smoothing=0.7, threshold=0.7, inside_brain=True
        ),
        "network": NetworkSize(
            image=32,
            points=8,
            channels=(4, 8, 8, 16),
            refiner=(8, 8),
            activation=(8, 8),
            upsampling=(8, 8),
        ),
        "training": TrainingSettings(
            slices=40,
            epochs=30,
            channel_epochs=2,
            batch=4,
            optimiser="adam",
            rate=5e-3,
            clip=5.0,
            healthy_share=0.25,
        ),
    },
}


def _quick(spec: MethodSpec[Any], settings: Mapping[str, Any]) -> MethodSpec[Any]:
    return replace(spec, plan=lambda *measured: replace(spec.plan(*measured), **settings))


def _plan_quickly(patch: pytest.MonkeyPatch) -> None:
    """Have plans made for the tiny encoder and, unless asked otherwise, a grid of 2 mm."""
    for name, settings in QUICK_SETTINGS.items():
        spec = methods.get(name)
        patch.setattr(f"brainad.methods.{name}.SPEC", _quick(spec, settings))

    def plan_coarsely(
        name: str,
        fingerprint: Fingerprint,
        resources: Resources,
        specs: Mapping[str, MethodSpec[Any]],
        space: WorkingSpace,
        options: PlanningOptions,
    ) -> Plan:
        coarse = replace(options, spacing_mm=options.spacing_mm or 2.0)
        return plan_dataset(name, fingerprint, resources, specs, space, coarse)

    patch.setattr(planning, "plan_dataset", plan_coarsely)


@pytest.fixture(scope="module")
def quick_planning() -> Iterator[None]:
    """Make quick plans for all tests of a module that come after the first that asks for it."""
    with pytest.MonkeyPatch.context() as patch:
        _plan_quickly(patch)
        yield


@pytest.fixture
def planned_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make quick plans for one test."""
    _plan_quickly(monkeypatch)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Run a command in this process: main and arguments → exit code, stdout, stderr."""
    logger = logging.getLogger("brainad")
    level, stop = logger.level, signal.getsignal(signal.SIGTERM)

    def run(main: Callable[[], None], *arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["brainad", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()
        shown = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, shown.out, shown.err

    yield run
    logger.setLevel(level)
    signal.signal(signal.SIGTERM, stop)


@pytest.fixture(scope="session")
def phantom_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 7 coarse heads in template space, 2 with a large lesion; not to be written to."""
    folder = tmp_path_factory.mktemp("raw") / "Dataset501_Phantoms"
    options = PhantomOptions(
        channels=("T2",),
        lesion="glioma",
        lesion_radius_mm=(18.0, 20.0),
        spacing_mm=(5.0, 5.0, 5.0),
        warp_mm=1.0,
        random_pose=False,
    )
    write_cohort(Cohort(folder, options, healthy=5, unhealthy=2, seed=1))
    return folder


@pytest.fixture(scope="session")
def phantom_work(
    phantom_dataset: Path, tmp_path_factory: pytest.TempPathFactory, resources: Resources
) -> DatasetWork:
    """Plan and prepare the 7 heads; not to be written to."""
    derived = tmp_path_factory.mktemp("preprocessed") / phantom_dataset.name
    work = DatasetWork(phantom_dataset, derived)
    with pytest.MonkeyPatch.context() as patch:
        _plan_quickly(patch)
        work.plan(resources, None)
    work.preprocess("cpu", Share())
    return work


@pytest.fixture(scope="session")
def predict(phantom_work: DatasetWork, resources: Resources) -> Callable[..., RunReport]:
    """Predict a folder with the plan, and where they fit the prepared cases, of the 7 heads."""

    def run(
        source: Path,
        target: Path,
        decisions: DecisionOptions | None = None,
        watch: Watch = unwatched,
        **options: Any,
    ) -> RunReport:
        return predict_folder(
            source,
            target,
            model_from_plan(phantom_work.derived / PLAN_FILE, "codegraph3d", resources),
            FolderOptions(prepared=phantom_work.derived / PREPARED_FOLDER, **options),
            decisions or DecisionOptions(),
            watch,
        )

    return run


@pytest.fixture(scope="session")
def phantom_predictions(
    phantom_work: DatasetWork,
    predict: Callable[..., RunReport],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Predict the 7 heads as one cohort; not to be written to."""
    target = tmp_path_factory.mktemp("predictions")
    predict(phantom_work.raw / "imagesTr", target)
    return target


@pytest.fixture
def predicted(phantom_predictions: Path, tmp_path: Path) -> Path:
    """Copy the predictions of the 7 heads, intermediate results included."""
    return Path(shutil.copytree(phantom_predictions, tmp_path / "predicted"))


@pytest.fixture(scope="session")
def healthy_scans(phantom_work: DatasetWork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the scans of the 5 healthy heads, with their times."""
    folder = tmp_path_factory.mktemp("healthy")
    shutil.copy2(phantom_work.raw / "dataset.json", folder)
    for case_id, label in find_truth(phantom_work.raw).labels.items():
        if label == "healthy":
            shutil.copy2(phantom_work.raw / "imagesTr" / f"{case_id}_0000.nii.gz", folder)
    return folder


@pytest.fixture(scope="session")
def phantom_bank(
    phantom_work: DatasetWork,
    phantom_predictions: Path,
    healthy_scans: Path,
    tmp_path_factory: pytest.TempPathFactory,
    resources: Resources,
) -> Path:
    """Make a bank of the 5 healthy heads; not to be written to."""
    home = tmp_path_factory.mktemp("bank")
    shutil.copytree(phantom_predictions / ".brainad", home / "bank.work")
    build_bank(
        healthy_scans,
        home / "bank",
        model_from_plan(phantom_work.derived / PLAN_FILE, "codegraph3d", resources),
        FolderOptions(prepared=phantom_work.derived / PREPARED_FOLDER),
        fpr=0.2,
        watch=unwatched,
    )
    return home / "bank"


@pytest.fixture(scope="session")
def results_of() -> Callable[[Path], dict[str, bytes]]:
    """Read all maps and masks of an output folder, and its tables without the timings."""

    def read(folder: Path) -> dict[str, bytes]:
        images = folder.rglob("*.nii.gz")
        found = {str(path.relative_to(folder)): path.read_bytes() for path in images}
        rows = read_csv(folder / "patient_scores.csv", PATIENT_COLUMNS)
        table = [{**row, "runtime_s": ""} for row in rows]
        found["patient_scores.csv"] = json.dumps(table).encode()
        found["slice_scores.csv"] = (folder / "slice_scores.csv").read_bytes()
        return found

    return read
