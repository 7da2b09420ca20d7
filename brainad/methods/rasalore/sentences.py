"""Sentences about brains: of the two classes, and of neither (specification 10.7)."""

from __future__ import annotations

CLASS_SENTENCES = (
    "a photo of a {} brain.",
    "an MRI scan of a {} brain.",
    "a slice through a {} human brain.",
    "this brain looks {}.",
    "the radiologist says that this brain is {}.",
)
NEUTRAL_SENTENCES = (
    "a photo of a brain.",
    "an MRI scan of the head.",
    "a grey picture.",
    "a slice through the body of a patient.",
    "the scanner of a hospital.",
    "an axial section.",
)
