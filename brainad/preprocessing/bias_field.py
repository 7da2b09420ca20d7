"""Even out the slow brightness drift of MR coils (N4)."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from brainad.errors import DataError
from brainad.preprocessing.pyramid import itk_image
from brainad.volume import Volume

# On the Colin27 brain, finer voxels or more levels left no less of a known field but took longer.
_FITTED_MM = 6.0
_ITERATIONS = (30, 30, 30)
_CONVERGENCE = 1e-3


def correct_bias_field(volume: Volume, brain: Volume) -> Volume:
    """Divide a volume by the bias field estimated inside the brain.

    The method is N4 (Tustison et al. 2010, IEEE Transactions on Medical Imaging 29,
    1310-1320), fitted on at most 6 mm voxels with at most 90 iterations; the log field is then
    evaluated at full resolution. Outside the brain, where it is extrapolated, the field is
    held to the range that it has inside. Deterministic: one work unit.

    Args:
        volume: positive intensities in the brain; others there do not take part in the fit.
        brain: bool, on the grid of `volume`.

    Returns:
        float32 on the same grid, with the mean of the brain unchanged.

    Raises:
        DataError: the brain holds no positive intensity.
    """
    usable = brain.data & (volume.data > 0)
    if not usable.any():
        raise DataError(
            "no positive intensity inside the brain", fix="switch the bias field correction off"
        )
    image, mask = itk_image(volume), itk_image(Volume(usable, volume.grid))
    shrink = [max(1, int(_FITTED_MM / edge)) for edge in volume.grid.spacing_mm[::-1]]
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetNumberOfWorkUnits(1)
    n4.SetMaximumNumberOfIterations(_ITERATIONS)
    n4.SetConvergenceThreshold(_CONVERGENCE)
    n4.Execute(sitk.Shrink(image, shrink), sitk.Shrink(mask, shrink))
    log_field = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image))
    inside = log_field[brain.data]
    corrected = volume.data * np.exp(-log_field.clip(inside.min(), inside.max()))
    corrected *= volume.data[brain.data].mean() / corrected[brain.data].mean()
    return Volume(corrected.astype(np.float32, copy=False), volume.grid)
