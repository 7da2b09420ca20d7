"""Write what a method drew while it learnt, for a person to look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from brainad.files import write_bytes, write_text
from brainad.method import Overlay
from brainad.reporting.overlays import overlay_page, overlay_png

_SHOWN = 20


def write_overlays(name: str, overlays: Iterable[Overlay], folder: Path) -> None:
    """Write a PNG per slice, and a page with the first 20.

    Args:
        name: of what was drawn: of the folder with the pictures, and of the page beside it.
        overlays: drawn one by one.
        folder: that gets both.
    """
    pictures, page = folder / name, folder / f"{name}.html"
    # Of an earlier training, perhaps from other slices.
    page.unlink(missing_ok=True)
    shutil.rmtree(pictures, ignore_errors=True)
    names = []
    for overlay in overlays:
        write_bytes(pictures / f"{overlay.name}.png", overlay_png(overlay))
        names.append(overlay.name)
    title = f"{name.replace('_', ' ')}, {min(len(names), _SHOWN)} of {len(names)}"
    write_text(page, overlay_page(title, names[:_SHOWN], name))
