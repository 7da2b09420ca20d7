"""Judge a prepared case: whether the brain is where and as large as a brain should be."""

from __future__ import annotations

from brainad.preprocessing.registration import Registration
from brainad.volume import Volume

# Intracranial volumes of adults and children from school age lie between 1000 and 2000 ml.
# A mask beyond these wider limits is half a brain, a neck or an eye, whoever was scanned.
SMALLEST_BRAIN_ML = 700.0
LARGEST_BRAIN_ML = 2300.0

# Affinely aligned brains overlap by 0.95 and more; with a fifth of either missing, by less than
# this. Similarities of right results were 0.8 and more; 10 degrees beside them, 0.35 to 0.47.
SMALLEST_OVERLAP = 0.9
SMALLEST_SIMILARITY = 0.35

_MM3_PER_ML = 1000.0


def brain_ml(brain: Volume) -> float:
    """Return the volume of a brain mask in millilitres."""
    return float(brain.data.sum()) * brain.grid.voxel_mm3 / _MM3_PER_ML


def list_flaws(brain: Volume, registration: Registration | None) -> tuple[str, ...]:
    """Say why a prepared case should not be trusted.

    Args:
        brain: mask on the case's own grid.
        registration: of the case to the template, or None if the plan asks for none.

    Returns:
        One sentence per flaw with the value found and the value expected; empty if all is well.
    """
    flaws = []
    volume_ml = brain_ml(brain)
    if not SMALLEST_BRAIN_ML <= volume_ml <= LARGEST_BRAIN_ML:
        flaws.append(
            f"the brain has {volume_ml:.0f} ml; {SMALLEST_BRAIN_ML:.0f} to "
            f"{LARGEST_BRAIN_ML:.0f} are expected"
        )
    if registration is None:
        return tuple(flaws)
    if registration.overlap is not None and registration.overlap < SMALLEST_OVERLAP:
        flaws.append(
            f"brain and template overlap with a Dice of {registration.overlap:.2f} after "
            f"registration; at least {SMALLEST_OVERLAP:.2f} is expected"
        )
    if registration.similarity < SMALLEST_SIMILARITY:
        flaws.append(
            f"scan and template share {registration.similarity:.2f} nats after registration; "
            f"at least {SMALLEST_SIMILARITY:.2f} are expected"
        )
    return tuple(flaws)
