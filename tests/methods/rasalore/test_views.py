from __future__ import annotations

import numpy as np
import torch

from brainad.methods.rasalore.views import View, apply_view, draw_view, hide_patches


def test_drawn_views_lie_inside_and_are_large_enough(rng: np.random.Generator) -> None:
    views = [draw_view(rng, 0.3) for _ in range(500)]
    for view in views:
        assert 0.3 <= view.height * view.width <= 1 + 1e-9
        assert 0.7 < view.width / view.height < 1.4
        assert view.top >= 0 and view.top + view.height <= 1 + 1e-9
        assert view.left >= 0 and view.left + view.width <= 1 + 1e-9
    assert 0.4 < np.mean([view.mirrored for view in views]) < 0.6
    whole = draw_view(rng, 1.0)
    assert (whole.height, whole.width) == (1, 1)


def test_a_view_shows_its_part(rng: np.random.Generator) -> None:
    image = torch.from_numpy(rng.random((20, 30)).astype(np.float32))
    assert torch.equal(apply_view(image, View(0, 0, 1, 1, False)), image)
    assert torch.equal(apply_view(image, View(0, 0, 1, 1, True)), image.flip(1))
    image[:10, :15] = 5
    part = apply_view(image, View(0, 0, 0.5, 0.5, False))
    assert part.shape == image.shape
    assert torch.allclose(part, torch.tensor(5.0))


def test_hidden_patches_differ_from_slice_to_slice_and_keep_their_order() -> None:
    tokens = torch.arange(12.0)[None, :, None].expand(30, -1, 2)
    shown = hide_patches(tokens, 2, 0.4, np.random.default_rng(0))
    assert shown.shape == (30, 6, 2)
    assert (shown[:, :2, 0] == torch.arange(2.0)).all()
    assert (shown[:, 1:, 0].diff(dim=1) > 0).all()
    assert len(shown[:, :, 0].unique(dim=0)) > 20
    assert set(shown[:, 2:, 0].unique().tolist()) == set(range(2, 12))
