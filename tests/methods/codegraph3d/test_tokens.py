from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainad.errors import DataError
from brainad.methods.codegraph3d.projection import projection_matrix
from brainad.methods.codegraph3d.tokens import (
    SLICING_AXIS,
    Tokeniser,
    TokenSettings,
    View,
    brain_fraction,
    kept_cells,
)

Golden = Callable[[str], dict[str, NDArray[Any]]]
ALL_VIEWS: tuple[View, ...] = ("axial", "coronal", "sagittal")


class PatchEncoder:
    """Flattens each patch row by row and maps it through a fixed random layer."""

    def __init__(self, weight: NDArray[Any], bias: NDArray[Any], patch: int) -> None:
        self.weight = torch.from_numpy(weight).float()
        self.bias = torch.from_numpy(bias).float()
        self.patch = patch
        self.images = 0

    def __call__(self, images: Tensor) -> list[Tensor]:
        self.images += len(images)
        patches = images.unfold(1, self.patch, self.patch).unfold(2, self.patch, self.patch)
        return [torch.tanh(patches.flatten(3) @ self.weight + self.bias)]


def golden_encoder(known: dict[str, NDArray[Any]]) -> PatchEncoder:
    return PatchEncoder(known["enc_weight"], known["enc_bias"], int(known["p"]))


def random_encoder(patch: int, width: int = 5) -> PatchEncoder:
    rng = np.random.default_rng(3)
    return PatchEncoder(rng.normal(size=(patch**2, width)), rng.normal(size=width), patch)


def random_case(shape: tuple[int, int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(5)
    brain = rng.random(shape) < 0.3
    brain[: shape[0] // 3] = False
    return (rng.random(shape) * brain).astype(np.float32), brain


def naive_tokens(
    image: NDArray[Any],
    brain: NDArray[Any],
    encoder: PatchEncoder,
    settings: TokenSettings,
    positions: list[list[int]],
) -> NDArray[np.float64]:
    """Follow the equations cell by cell: pool, normalise, project, join."""
    patch, layer = settings.patch, settings.layers[0]
    rows = []
    for cell in np.ndindex(*(size // patch for size in brain.shape)):
        corner = [index * patch for index in cell]
        if not brain[tuple(slice(start, start + patch) for start in corner)].any():
            continue
        token = []
        for view in settings.views:
            axis = SLICING_AXIS[view]
            planes = np.moveaxis(image, axis, 0)
            row, column = np.delete(cell, axis)
            features = []
            for group in positions:
                at = [corner[axis] + position for position in group]
                (grid,) = encoder(torch.from_numpy(planes[at].mean(0)[None]))
                features.append(grid[0, row, column].numpy().astype(np.float64))
            pooled = np.mean(features, axis=0)
            unit = pooled / (np.linalg.norm(pooled) + 1e-6)
            token.append(unit @ projection_matrix(len(unit), settings.projected_width, layer))
        rows.append(np.concatenate(token))
    return np.array(rows)


@pytest.mark.parametrize("view", ALL_VIEWS)
def test_one_view_is_pooled_normalised_and_placed_as_in_the_golden_file(
    golden: Golden, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = golden("tokenise")
    monkeypatch.setattr(
        "brainad.methods.codegraph3d.tokens.projection_matrix",
        lambda width, *_: np.eye(width, dtype=np.float32),
    )
    settings = TokenSettings((1,), patch=2, views=(view,), slices_per_block=2)
    everywhere = np.ones(known["mask"].shape, dtype=bool)
    case = Tokeniser(golden_encoder(known), settings).tokenise(known["volume"], everywhere)
    expected = known[f"grid_{view}"].reshape(64, -1)
    assert np.abs(case.layers[0].numpy() - expected).max() < 1e-5


@pytest.mark.parametrize(("slices", "key"), [(2, "tokens"), (1, "tokens_stride")])
def test_tokens_match_the_golden_file(
    golden: Golden, slices: int, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = golden("tokenise")
    monkeypatch.setattr(
        "brainad.methods.codegraph3d.tokens.projection_matrix", lambda *_: known["R"]
    )
    settings = TokenSettings((1,), patch=2, slices_per_block=slices, projected_width=5)
    brain = known["mask"].astype(bool)
    case = Tokeniser(golden_encoder(known), settings).tokenise(known["volume"], brain)
    expected = known[key].reshape(64, -1)[known["kept_index"]]
    assert np.array_equal(np.flatnonzero(case.cells), known["kept_index"])
    assert np.abs(case.layers[0].numpy() - expected).max() < 1e-5
    if key == "tokens":
        assert np.abs(case.layers[0].numpy() - known["tokens_kept"]).max() < 1e-5


def test_kept_cells_match_the_golden_file(golden: Golden) -> None:
    known = golden("tokenise")
    brain = known["mask"].astype(bool)
    assert np.allclose(brain_fraction(brain, 2), known["token_frac"], atol=1e-12)
    assert np.array_equal(kept_cells(brain, 2, 0.0), known["token_mask_any"].astype(bool))
    assert np.array_equal(kept_cells(brain, 2, 0.5), known["token_mask_half"].astype(bool))


@pytest.mark.parametrize("views", [ALL_VIEWS, ("coronal", "axial"), ("sagittal",)])
@pytest.mark.parametrize(
    ("slices", "average", "positions"),
    [
        (3, False, [[0], [1], [2]]),
        (2, False, [[0], [2]]),
        (2, True, [[0, 1], [2]]),
        (1, True, [[0, 1, 2]]),
    ],
)
def test_tokens_equal_the_cell_by_cell_equations_on_an_uneven_grid(
    views: tuple[View, ...], slices: int, average: bool, positions: list[list[int]]
) -> None:
    image, brain = random_case((9, 6, 12))
    settings = TokenSettings(
        (4,),
        patch=3,
        views=views,
        slices_per_block=slices,
        average_neighbours=average,
        projected_width=7,
        batch=4,
    )
    case = Tokeniser(random_encoder(3), settings).tokenise(image, brain)
    expected = naive_tokens(image, brain, random_encoder(3), settings, positions)
    assert case.cells.shape == (3, 2, 4)
    assert case.layers[0].shape == expected.shape
    assert np.abs(case.layers[0].numpy() - expected).max() < 1e-5


def test_empty_slices_and_blocks_without_cells_are_not_encoded() -> None:
    image = np.zeros((12, 12, 12), dtype=np.float32)
    image[4:6, 3:6, 0:3] = 0.5
    brain = image > 0
    encoder = random_encoder(3)
    tokeniser = Tokeniser(encoder, TokenSettings((1,), patch=3, slices_per_block=3))
    tokeniser.tokenise(image, brain)
    filled, one_zero_image = 2 + 3 + 3, 1
    assert encoder.images == filled + one_zero_image
    tokeniser.tokenise(image, brain)
    assert encoder.images == 2 * filled + one_zero_image


def test_batch_size_does_not_change_tokens() -> None:
    image, brain = random_case((9, 9, 9))
    one, many = (
        Tokeniser(
            random_encoder(3), TokenSettings((1,), patch=3, slices_per_block=3, batch=batch)
        ).tokenise(image, brain)
        for batch in (1, 50)
    )
    assert torch.allclose(one.layers[0], many.layers[0], atol=1e-6)


def test_layers_are_projected_with_their_own_matrix() -> None:
    image, brain = random_case((6, 6, 6))
    encoder = random_encoder(3)
    settings = TokenSettings((3, 6), patch=3, slices_per_block=3, projected_width=4)
    case = Tokeniser(lambda images: encoder(images) * 2, settings).tokenise(image, brain)
    for number, tokens in zip(settings.layers, case.layers, strict=True):
        alone = TokenSettings((number,), patch=3, slices_per_block=3, projected_width=4)
        assert torch.equal(tokens, Tokeniser(encoder, alone).tokenise(image, brain).layers[0])


def test_neighbourhood_averages_before_normalising() -> None:
    image, brain = random_case((9, 9, 9))
    plain, averaged = (
        Tokeniser(
            random_encoder(3),
            TokenSettings((1,), patch=3, slices_per_block=3, neighbourhood=edge),
        )
        .tokenise(image, brain)
        .layers[0]
        for edge in (1, 3)
    )
    assert plain.shape == averaged.shape
    assert averaged.std(0).mean() < 0.8 * plain.std(0).mean()


def test_inputs_stay_unchanged() -> None:
    image, brain = random_case((6, 6, 6))
    image.flags.writeable = brain.flags.writeable = False
    copy = image.copy()
    Tokeniser(random_encoder(3), TokenSettings((1,), patch=3, slices_per_block=2)).tokenise(
        image, brain
    )
    assert np.array_equal(image, copy)


def test_a_case_without_brain_is_a_data_error() -> None:
    nothing = np.zeros((6, 6, 6), dtype=np.float32)
    tokeniser = Tokeniser(random_encoder(3), TokenSettings((1,), patch=3, slices_per_block=3))
    with pytest.raises(DataError, match="no cell"):
        tokeniser.tokenise(nothing, nothing > 0)


def test_a_grid_that_is_no_multiple_of_the_patch_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of the patch"):
        brain_fraction(np.ones((6, 7, 6), dtype=bool), 3)
