"""Synthetic brain MRI with exact truth: anatomy from MNI152, lesions, contrasts, acquisition."""

from brainad.phantom.options import LesionKind, PhantomOptions
from brainad.phantom.parameters import PhantomParameters, sample_parameters
from brainad.phantom.synthesis import Phantom, make_phantom, render_phantom

__all__ = [
    "LesionKind",
    "Phantom",
    "PhantomOptions",
    "PhantomParameters",
    "make_phantom",
    "render_phantom",
    "sample_parameters",
]
