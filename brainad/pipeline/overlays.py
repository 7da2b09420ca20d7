"""Write what a method drew while it learnt, for a person to look at."""

from __future__ import annotations

import shutil
from pathlib import Path

from brainad.files import write_bytes, write_text
from brainad.method import Method, ShowingMethod
from brainad.reporting.overlays import overlay_page, overlay_png

FOLDER = "pseudo_masks"
PAGE = f"{FOLDER}.html"
_SHOWN = 20


def write_overlays(method: Method, name: str, folder: Path) -> Path | None:
    """Write a PNG per slice and a page with the first 20, if the method drew anything.

    Args:
        method: after `fit`.
        name: of the method, for the title.
        folder: that gets the page, and a folder with the pictures.

    Returns:
        The page, or None if there is nothing to show.
    """
    overlays = method.overlays() if isinstance(method, ShowingMethod) else ()
    if not overlays:
        return None
    # Of an earlier training, perhaps from other slices.
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    for overlay in overlays:
        write_bytes(folder / FOLDER / f"{overlay.name}.png", overlay_png(overlay))
    names = [overlay.name for overlay in overlays[:_SHOWN]]
    page = folder / PAGE
    write_text(page, overlay_page(f"{name}: pseudo masks of training slices", names, FOLDER))
    return page
