from __future__ import annotations

import pytest
import torch

from brainad.encoders.image_tower import resize_positions
from brainad.encoders.tiny import tiny_dinov2_model
from brainad.encoders.vision_language import dinov2_image_tower

CPU = torch.device("cpu")


def test_blocks_take_any_number_of_tokens() -> None:
    tower = dinov2_image_tower(tiny_dinov2_model(0), CPU)
    tokens = tower.embed(torch.rand(2, 56, 28))
    assert tokens.shape == (2, 1 + 4 * 2, tower.width)
    longer = torch.cat([tokens, torch.zeros(2, 3, tower.width)], 1)
    assert tower.run(longer, 1, 3).shape == longer.shape
    rows = tower.blocks[0].attention(longer)
    torch.testing.assert_close(rows.sum(-1), torch.ones(2, 12))


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 14"):
        dinov2_image_tower(tiny_dinov2_model(0), CPU).embed(torch.zeros(1, 28, 30))


def test_positions_follow_the_grid() -> None:
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    table = torch.cat([torch.full((1, 2), 9.0), torch.stack([rows, columns], -1).flatten(0, 1)])
    assert resize_positions(table, (4, 4)) is table
    fitted = resize_positions(table, (8, 2))
    assert fitted.shape == (17, 2)
    assert torch.equal(fitted[0], table[0])
    grid = fitted[1:].reshape(8, 2, 2)
    assert (grid[1:, :, 0] > grid[:-1, :, 0]).all()
    assert (grid[:, 1, 1] > grid[:, 0, 1]).all()
