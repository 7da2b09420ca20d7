"""Slices with what was drawn on them: PNG files, and a page for the first ones."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from brainad.method import Overlay
from brainad.reporting.page import STYLE

_COLOUR = (255, 96, 32)
_ZOOM = 2


def overlay_png(overlay: Overlay) -> bytes:
    """Draw the outline of the mask on the slice.

    Returns:
        PNG, twice as large as the slice; the first axis to the right, the second upwards.
    """
    grey = np.kron(overlay.image, np.ones((_ZOOM, _ZOOM), dtype=np.uint8))
    mask = np.kron(overlay.mask, np.ones((_ZOOM, _ZOOM), dtype=np.bool_)).astype(np.bool_)
    outline = mask & ~ndimage.binary_erosion(mask)
    colours = np.repeat(grey[..., None], 3, axis=-1)
    colours[outline] = _COLOUR
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(colours.transpose(1, 0, 2)[::-1])).save(buffer, "PNG")
    return buffer.getvalue()


def overlay_page(title: str, names: Sequence[str], folder: str) -> str:
    """Return an HTML page that shows PNG files.

    Args:
        title: of the page.
        names: of the overlays shown, whose files are ``folder/name.png``.
        folder: relative to the page.
    """
    figures = "\n".join(
        f'<figure><img src="{html.escape(folder)}/{html.escape(name)}.png" '
        f'alt="{html.escape(name)}"><figcaption>{html.escape(name)}</figcaption></figure>'
        for name in names
    )
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}'
        f"</title>\n<style>{STYLE}</style>\n<h1>{html.escape(title)}</h1>\n"
        f'<p class="notice">Masks that the method drew for itself; nobody checked them.</p>\n'
        f'<div class="columns">\n{figures}\n</div></html>\n'
    )
