"""The Python interface: a model that predicts folders, or one case in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import nibabel as nib

from brainad.errors import UsageError
from brainad.method import Scope
from brainad.nifti import read_volume, volume_from_image
from brainad.pipeline.cases import Watch, unwatched
from brainad.pipeline.deliver import Delivery, make_result
from brainad.pipeline.folder import FolderOptions
from brainad.pipeline.model import Model, open_model, stored_channel_names
from brainad.pipeline.predict import DecisionOptions, RunReport, predict_folder
from brainad.pipeline.resources import measure_resources
from brainad.planning.anatomy import measure_anatomy
from brainad.prediction import Result
from brainad.preprocessing.prepare import BrainSource, prepare_case
from brainad.preprocessing.template import load_template
from brainad.volume import Volume
from brainad.workspace import find_workspace


class Predictor:
    """Predicts with a stored model; no main guard is needed.

    Args:
        model: a bank or trained model.
        device: as torch names it.
        channel_names: what file numbers mean where no dataset.json beside the scans says it.
    """

    def __init__(
        self, model: Model, device: str, channel_names: Mapping[int, str] | None = None
    ) -> None:
        self._model = model
        self._device = device
        self._channel_names = channel_names or {}

    @classmethod
    def from_model(cls, folder: Path | str, device: str = "auto") -> Self:
        """Open a model.

        Args:
            folder: written by brainad_train or brainad_build_bank, or a zip of it.
            device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

        Raises:
            UsageError: not a model, or its encoder's weights are not here.
        """
        resources = measure_resources(find_workspace({}).weights, device)
        path = Path(folder)
        return cls(open_model(path, resources), resources.device, stored_channel_names(path))

    def predict_folder(
        self,
        source: Path | str,
        target: Path | str,
        options: FolderOptions | None = None,
        decisions: DecisionOptions | None = None,
        watch: Watch = unwatched,
    ) -> RunReport:
        """Predict every scan of a folder and write the results; see `predict_folder`."""
        return predict_folder(
            Path(source),
            Path(target),
            lambda _fingerprint: self._model,
            options or FolderOptions(device=self._device, channel_names=self._channel_names),
            decisions or DecisionOptions(),
            watch,
        )

    def predict_case(
        self, images: Mapping[str, Path | str | nib.nifti1.Nifti1Image], case_id: str = "case"
    ) -> Result:
        """Predict one case without writing anything.

        Args:
            images: channel name to file or nibabel image.
            case_id: name for messages and the result.

        Returns:
            Map and mask on the grid of the reference channel, which is the first channel of
            the model's plan that is given.

        Raises:
            UsageError: the model compares cases with each other and cannot judge one alone.
            DataError: something is wrong with the scans.
        """
        model = self._model
        if model.method.scope is not Scope.CASE:
            raise UsageError(
                "this model compares scans with each other and cannot judge one alone",
                model.configuration,
                "open a bank (brainad_build_bank), or use predict_folder",
            )
        if model.calibration is None:
            raise UsageError(
                "this model has no thresholds",
                model.configuration,
                "store some with brainad_calibrate -m",
            )
        plan = model.plan.preprocessing
        volumes = {c: _volume(images[c]) for c in plan.channels if c in images}
        if not set(volumes) & set(model.method.channels):
            raise UsageError(
                f"channels {', '.join(images)} are not what the model looks at",
                case_id,
                f"give {' or '.join(model.method.channels)}",
            )
        reference = next(iter(volumes))
        prepared = prepare_case(
            case_id,
            volumes,
            reference,
            plan,
            self._brain_source(volumes[reference]),
            self._device,
        )
        prediction = next(iter(model.method.predict([prepared.case])))
        delivery = Delivery(
            calibration=model.calibration,
            minimum_mm3=0.0,
            slice_axis=plan.slice_axis,
            channels=model.method.channels,
            device=self._device,
            model_id=model.model_id,
            seconds={},
        )
        return make_result(prediction, prepared.case, delivery, prepared.warnings)

    def _brain_source(self, reference: Volume) -> BrainSource:
        plan = self._model.plan.preprocessing
        if plan.brain_mask != "per-case":
            return plan.brain_mask
        anatomy = measure_anatomy(reference, load_template(plan.template).image)
        return "nonzero" if anatomy.skull_stripped else "hd-bet"


def _volume(image: Path | str | nib.nifti1.Nifti1Image) -> Volume:
    return read_volume(Path(image)) if isinstance(image, (str, Path)) else volume_from_image(image)
