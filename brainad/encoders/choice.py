"""Which encoder suits a machine, and how deep it is; needs no weights to answer."""

from __future__ import annotations

from collections.abc import Mapping

from brainad.plan import Resources

DEFAULT_ENCODER = "dinov2_vits14"

# Transformer blocks of each encoder, smallest first.
_DEPTH: Mapping[str, int] = {"vits": 12, "vitb": 12, "vitl": 24, "vitg": 40}


def choose_encoder(resources: Resources) -> tuple[str, str]:
    """Take the best encoder at hand on a GPU and the embedded one on a CPU; say why."""
    if resources.device != "cpu" and resources.encoders:
        sizes = tuple(_DEPTH)
        largest = max(resources.encoders, key=lambda name: sizes.index(encoder_size(name)))
        return largest, f"the largest whose weights are here, for {resources.device}"
    here = DEFAULT_ENCODER in resources.encoders
    state = "its weights are here" if here else "fetch its weights with brainad_download_weights"
    return DEFAULT_ENCODER, f"the smallest, for a CPU; {state}"


def encoder_size(encoder: str) -> str:
    """Return ``vits``, ``vitb``, ``vitl`` or ``vitg``; an unknown name counts as the smallest."""
    return next((size for size in _DEPTH if size in encoder), "vits")


def encoder_depth(encoder: str) -> int:
    """Return the number of transformer blocks."""
    return _DEPTH[encoder_size(encoder)]
