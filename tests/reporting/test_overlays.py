from __future__ import annotations

import io

import numpy as np
from PIL import Image

from brainad.method import Overlay
from brainad.reporting.overlays import overlay_page, overlay_png


def test_the_outline_is_drawn_where_the_mask_is() -> None:
    mask = np.zeros((30, 20), dtype=bool)
    mask[5:15, 12:18] = True
    overlay = Overlay("case_slice_003", np.full((30, 20), 90, dtype=np.uint8), mask)
    picture = np.asarray(Image.open(io.BytesIO(overlay_png(overlay)))).astype(int)
    assert picture.shape == (40, 60, 3)
    coloured = np.ptp(picture, axis=2) > 0
    rows, columns = np.nonzero(coloured)
    # The second axis points up: columns 12 to 18 of 20 lie in the upper part.
    assert (rows.min(), rows.max()) == (2 * (20 - 18), 2 * (20 - 12) - 1)
    assert (columns.min(), columns.max()) == (2 * 5, 2 * 15 - 1)
    assert not coloured[10, 20]


def test_the_page_shows_the_files_it_names() -> None:
    page = overlay_page("rasalore <masks>", ["a_slice_001", "b_slice_002"], "pseudo_masks")
    assert page.count("<img") == 2
    assert 'src="pseudo_masks/a_slice_001.png"' in page
    assert "<masks>" not in page
    assert "http" not in page
